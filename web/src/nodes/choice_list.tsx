/** The open list of a combo: a search field and what matches, above everything else; favourites first. */

import { Star } from "lucide-react";
import { useEffect, useMemo, useReducer, useRef, useState, type KeyboardEvent, type MouseEvent } from "react";
import { createPortal } from "react-dom";
import { useSay } from "../i18n/catalogue";
import type { FileChoices } from "../model/catalog";
import { orderedChoices } from "../model/choice_order";
import type { PictureOf } from "../server/model_pictures";
import type { NodeDesk } from "./node_desk";

export interface ChoiceListProps {
  readonly label: string;
  /** The button it belongs to, in pixels of the page. */
  readonly at: DOMRect;
  readonly value: string;
  readonly choices: readonly string[];
  /** Offered first when `value` is missing. */
  readonly nearest: string | null;
  readonly desk: NodeDesk;
  /** Where the choices are files, whose pictures are shown. */
  readonly files: FileChoices | null;
  readonly favouritesKey: string;
  readonly onChoose: (value: string) => void;
  readonly onClose: () => void;
}

const MAX_SHOWN = 200;
const HEIGHT_PX = 320;
/** A list one sees at a glance needs no stars. */
const MIN_STARRED = 6;

export function ChoiceList({ label, at, value, choices, nearest, desk, files, favouritesKey, onChoose, onClose }: ChoiceListProps) {
  const say = useSay();
  const [query, setQuery] = useState("");
  const list = useRef<HTMLUListElement>(null);
  const [numStars, starred] = useReducer((count: number) => count + 1, 0);
  const stars = desk.favourites(favouritesKey);
  const hasStars = files !== null || choices.length >= MIN_STARRED;
  // A star that is set while the list is open moves nothing under the pointer.
  const first = useRef(stars);
  const pictures = usePictures(desk, files);
  const found = useMemo(
    () => orderedChoices(choices, { query, starred: first.current, nearest }).slice(0, MAX_SHOWN), [choices, query, nearest],
  );
  const [marked, setMarked] = useState(Math.max(0, found.indexOf(value)));
  const current = Math.min(marked, found.length - 1);
  useEffect(() => {
    list.current?.children[current]?.scrollIntoView({ block: "nearest" });
  }, [current, pictures]);
  const star = (name: string | undefined) => {
    if (name === undefined || !hasStars) return;
    desk.star(favouritesKey, name);
    starred();
  };
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
      if (event.altKey) return star(chosen);
      if (chosen !== undefined) onChoose(chosen);
      onClose();
    } else if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      onClose();
    }
  };
  const width = Math.max(pictures !== null ? 344 : 240, at.width);
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
          aria-description={hasStars ? say("choice.starKeys") : undefined} spellCheck={false} autoComplete="off" value={query} onKeyDown={key}
          onChange={(event) => {
            setQuery(event.target.value);
            setMarked(0);
          }}
        />
        <ul ref={list} id="choices-list" role="listbox" aria-label={label} data-stars={numStars}>
          {found.map((name, i) => (
            <li
              key={name} id={`choice-${i}`} role="option" aria-selected={name === value} data-marked={i === current ? "" : undefined}
              onPointerMove={() => i !== current && setMarked(i)}
              onClick={() => {
                onChoose(name);
                onClose();
              }}
            >
              {pictures !== null && <Picture address={pictures(name)} />}
              <span>
                {name}
                {name === nearest && <em>{say("node.nearest")}</em>}
              </span>
              {hasStars && <StarMark isSet={stars.has(name)} onPress={() => star(name)} />}
            </li>
          ))}
          {found.length === 0 && <li className="choices-none">{say("node.noMatch")}</li>}
        </ul>
        {hasStars && <p className="choices-hint" aria-hidden>{say("choice.starKeys")}</p>}
      </div>
    </>,
    document.body,
  );
}

/** Part of an option, so no button of its own: the keyboard has a key for it. */
function StarMark({ isSet, onPress }: { isSet: boolean; onPress: () => void }) {
  const say = useSay();
  const press = (event: MouseEvent) => {
    event.stopPropagation();
    onPress();
  };
  return (
    <span className="choices-star" data-set={isSet ? "" : undefined} title={say(isSet ? "choice.unstar" : "choice.star")} onClick={press}>
      <Star size={14} fill={isSet ? "currentColor" : "none"} aria-hidden />
      {isSet && <span className="sr-only">{say("choice.isStarred")}</span>}
    </span>
  );
}

/** Fetched when it comes near; a file that is no picture after all leaves its place empty. */
function Picture({ address }: { address: string | null }) {
  const [broken, setBroken] = useState<string | null>(null);
  return (
    <span className="choices-picture">
      {address !== null && broken !== address && (
        <img src={address} alt="" width={128} height={128} loading="lazy" decoding="async" draggable={false} onError={() => setBroken(address)} />
      )}
    </span>
  );
}

function usePictures(desk: NodeDesk, files: FileChoices | null): PictureOf | null {
  const [pictures, setPictures] = useState<PictureOf | null>(null);
  useEffect(() => {
    if (files === null) return undefined;
    let isOver = false;
    void desk.choicePictures(files).then((found) => void (isOver || setPictures(() => found)));
    return () => void (isOver = true);
  }, [desk, files]);
  return pictures;
}
