/** Text: of one line, or of many with the weight keys of prompts. */

import { useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { createPortal } from "react-dom";
import { useSay } from "../i18n/catalogue";
import { completed, completionAt, type Completion, type NamesByKind } from "../model/completion";
import { weighted } from "../model/prompt_weight";
import { editorText } from "../model/widget_plan";
import type { WidgetProps } from "./node_desk";

const WEIGHT_STEP = 0.05;
const UNMARKED = -1;
const NO_NAMES: NamesByKind = { embedding: [], lora: [] };

export function LineField({ id, desk, view }: WidgetProps) {
  return (
    <label className="field" data-own>
      <span className="field-label">{view.label}</span>
      <input
        className="field-line" type="text" value={editorText(view.value)} spellCheck={false} autoComplete="off"
        onChange={(event) => desk.setWidget(id, view.name, event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      />
    </label>
  );
}

export function TextField({ id, desk, view }: WidgetProps) {
  const say = useSay();
  const field = useRef<HTMLTextAreaElement>(null);
  const selected = useRef<{ start: number; end: number } | null>(null);
  const [names, setNames] = useState(NO_NAMES);
  const [offer, setOffer] = useState<Offer | null>(null);
  const text = editorText(view.value);
  // The value comes from the document: the selection of a weight key is put back after it has arrived.
  useLayoutEffect(() => {
    if (selected.current !== null) field.current?.setSelectionRange(selected.current.start, selected.current.end);
    selected.current = null;
  }, [text]);
  const put = (next: string, start: number, end: number) => {
    selected.current = { start, end };
    desk.setWidget(id, view.name, next);
  };
  const accept = ({ completion, marked }: Offer) => {
    const name = completion.choices[marked] as string;
    const next = completed(text, completion, name);
    selected.current = { start: next.caret, end: next.caret };
    if (completion.kind === "lora") desk.addLora(id, view.name, next.text, name);
    else desk.setWidget(id, view.name, next.text);
    setOffer(null);
  };
  const key = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (offer !== null && !event.ctrlKey && !event.metaKey && takesKey(event, offer, setOffer, accept)) return;
    if (event.key === "Escape") event.currentTarget.blur();
    if (!(event.ctrlKey || event.metaKey) || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    event.preventDefault();
    const { selectionStart, selectionEnd } = event.currentTarget;
    const next = weighted(text, selectionStart, selectionEnd, event.key === "ArrowUp" ? WEIGHT_STEP : -WEIGHT_STEP);
    if (next.text !== text) put(next.text, next.start, next.end);
  };
  const { placeholder } = view.spec?.options ?? {};
  return (
    <>
      <textarea
        ref={field} className="field-text" data-own data-scrolls value={text} aria-label={view.label} spellCheck={false}
        placeholder={typeof placeholder === "string" ? placeholder : view.label}
        aria-autocomplete="list" aria-controls={offer === null ? undefined : "completions"}
        aria-activedescendant={offer === null || offer.marked === UNMARKED ? undefined : `completion-${offer.marked}`}
        onFocus={() => void desk.weightNames(id).then(setNames)} onBlur={() => setOffer(null)} onKeyDown={key}
        onPointerDown={() => setOffer(null)}
        onChange={(event) => {
          const { value, selectionStart } = event.target;
          desk.setWidget(id, view.name, value);
          const completion = completionAt(value, selectionStart, names);
          setOffer(completion === null ? null : { completion, marked: completion.isNamed ? 0 : UNMARKED, at: event.target.getBoundingClientRect() });
        }}
      />
      {offer !== null && createPortal(
        <div className="choices" data-own style={placeBy(offer.at)}>
          <ul id="completions" role="listbox" aria-label={say(offer.completion.kind === "lora" ? "node.loras" : "node.completions")}>
            {offer.completion.choices.map((name, i) => (
              <li
                key={name} id={`completion-${i}`} role="option" aria-selected={i === offer.marked} data-marked={i === offer.marked ? "" : undefined}
                onPointerDown={(event) => {
                  // The text keeps the keyboard.
                  event.preventDefault();
                  accept({ ...offer, marked: i });
                }}
              >
                {name}
              </li>
            ))}
          </ul>
        </div>,
        document.body,
      )}
    </>
  );
}

/** What is offered for the word in hand, and below which field. */
interface Offer {
  readonly completion: Completion;
  /** UNMARKED until an arrow chooses, where people may just be writing a word: Enter and Tab then mean what they always do. */
  readonly marked: number;
  readonly at: DOMRect;
}

/** Arrows choose, Enter and Tab take, Escape takes the offer away; returns whether the key was for the list. */
function takesKey(event: KeyboardEvent, offer: Offer, setOffer: (offer: Offer | null) => void, accept: (offer: Offer) => void): boolean {
  const { choices } = offer.completion;
  const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  const next = offer.marked === UNMARKED && by < 0 ? choices.length - 1 : (offer.marked + by + choices.length) % choices.length;
  if (by !== 0) setOffer({ ...offer, marked: next });
  else if ((event.key === "Enter" || event.key === "Tab") && offer.marked !== UNMARKED) accept(offer);
  else if (event.key === "Escape") setOffer(null);
  else {
    // The caret may go elsewhere; what is typed asks anew.
    if (event.key !== "Shift" && event.key.length > 1) setOffer(null);
    return false;
  }
  event.preventDefault();
  event.stopPropagation();
  return true;
}

const LIST_PX = 240;

function placeBy(at: DOMRect) {
  const style = { left: Math.max(8, Math.min(at.left, innerWidth - LIST_PX - 8)), width: LIST_PX, maxHeight: LIST_PX };
  return at.bottom + LIST_PX < innerHeight ? { ...style, top: at.bottom + 4 } : { ...style, bottom: innerHeight - at.top + 4 };
}
