/** Text: of one line, or of many with the weight keys of prompts. */

import { useLayoutEffect, useRef, type KeyboardEvent } from "react";
import { weighted } from "../model/prompt_weight";
import { editorText } from "../model/widget_plan";
import type { WidgetProps } from "./node_desk";

const WEIGHT_STEP = 0.05;

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
  const field = useRef<HTMLTextAreaElement>(null);
  const selected = useRef<{ start: number; end: number } | null>(null);
  const text = editorText(view.value);
  // The value comes from the document: the selection of a weight key is put back after it has arrived.
  useLayoutEffect(() => {
    if (selected.current !== null) field.current?.setSelectionRange(selected.current.start, selected.current.end);
    selected.current = null;
  }, [text]);
  const key = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key === "Escape") event.currentTarget.blur();
    if (!(event.ctrlKey || event.metaKey) || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    event.preventDefault();
    const { selectionStart, selectionEnd } = event.currentTarget;
    const next = weighted(text, selectionStart, selectionEnd, event.key === "ArrowUp" ? WEIGHT_STEP : -WEIGHT_STEP);
    if (next.text === text) return;
    selected.current = next;
    desk.setWidget(id, view.name, next.text);
  };
  const { placeholder } = view.spec?.options ?? {};
  return (
    <textarea
      ref={field} className="field-text" data-own data-scrolls value={text} aria-label={view.label} spellCheck={false}
      placeholder={typeof placeholder === "string" ? placeholder : view.label}
      onChange={(event) => desk.setWidget(id, view.name, event.target.value)} onKeyDown={key}
    />
  );
}
