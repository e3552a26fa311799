/** The open list of a combo: a search field and what matches, above everything else. */

import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { createPortal } from "react-dom";
import { useSay } from "../i18n/catalogue";

export interface ChoiceListProps {
  readonly label: string;
  /** The button it belongs to, in pixels of the page. */
  readonly at: DOMRect;
  readonly value: string;
  readonly choices: readonly string[];
  /** Offered first when `value` is missing. */
  readonly nearest: string | null;
  readonly onChoose: (value: string) => void;
  readonly onClose: () => void;
}

const MAX_SHOWN = 200;
const HEIGHT_PX = 320;

export function ChoiceList({ label, at, value, choices, nearest, onChoose, onClose }: ChoiceListProps) {
  const say = useSay();
  const [query, setQuery] = useState("");
  const list = useRef<HTMLUListElement>(null);
  const found = useMemo(() => matching(choices, query, nearest), [choices, query, nearest]);
  const [marked, setMarked] = useState(Math.max(0, found.indexOf(value)));
  const current = Math.min(marked, found.length - 1);
  useEffect(() => {
    list.current?.children[current]?.scrollIntoView({ block: "nearest" });
  }, [current]);
  const key = (event: KeyboardEvent) => {
    event.stopPropagation();
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      setMarked(Math.min(found.length - 1, Math.max(0, current + by)));
    } else if (event.key === "Enter") {
      // The button gets the keyboard back at once: the same key would press it.
      event.preventDefault();
      const chosen = found[current];
      if (chosen !== undefined) onChoose(chosen);
      onClose();
    } else if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      onClose();
    }
  };
  const width = Math.max(220, at.width);
  const isBelow = at.bottom + HEIGHT_PX < innerHeight || at.top < HEIGHT_PX;
  const place = isBelow ? { top: at.bottom + 4 } : { bottom: innerHeight - at.top + 4 };
  const style = { ...place, left: Math.max(8, Math.min(at.left, innerWidth - width - 8)), width, maxHeight: HEIGHT_PX };
  return createPortal(
    <>
      <div className="choices-veil" data-own onPointerDown={onClose} />
      <div className="choices" data-own style={style}>
        <input
          autoFocus className="choices-search" type="text" role="combobox" aria-expanded aria-controls="choices-list"
          aria-activedescendant={`choice-${current}`} aria-label={say("node.search", { name: label })} placeholder={say("node.search", { name: label })}
          spellCheck={false} autoComplete="off" value={query} onKeyDown={key}
          onChange={(event) => {
            setQuery(event.target.value);
            setMarked(0);
          }}
        />
        <ul ref={list} id="choices-list" role="listbox" aria-label={label}>
          {found.map((name, i) => (
            <li
              key={name} id={`choice-${i}`} role="option" aria-selected={name === value} data-marked={i === current ? "" : undefined}
              onPointerMove={() => i !== current && setMarked(i)}
              onClick={() => {
                onChoose(name);
                onClose();
              }}
            >
              {name}
              {name === nearest && <em>{say("node.nearest")}</em>}
            </li>
          ))}
          {found.length === 0 && <li className="choices-none">{say("node.noMatch")}</li>}
        </ul>
      </div>
    </>,
    document.body,
  );
}

/** Choices that have every word of the query; names that begin with it first. */
function matching(choices: readonly string[], query: string, nearest: string | null): readonly string[] {
  const words = query.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const first = words[0] ?? "";
  const found = choices.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
  const begins = (name: string) => name.toLowerCase().startsWith(first);
  const sorted = first === "" ? found : [...found.filter(begins), ...found.filter((name) => !begins(name))];
  const ordered = nearest !== null && words.length === 0 ? [nearest, ...sorted.filter((name) => name !== nearest)] : sorted;
  return ordered.slice(0, MAX_SHOWN);
}
