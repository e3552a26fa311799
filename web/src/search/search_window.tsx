/** Search for a node to add: at the pointer, by keyboard alone. */

import { Dialog } from "@base-ui/react/dialog";
import { useMemo, useState, type KeyboardEvent } from "react";
import { useStore } from "zustand";
import type { SearchRequest } from "../app/requests";
import type { Session } from "../app/session";
import { typeColor } from "../canvas/theme";
import { useSay } from "../i18n/catalogue";
import { addFound, ownTitles, readUses } from "./adding";
import { NodeSearch } from "./ranking";

const WIDTH = 360;
const HEIGHT = 400;
const MARGIN = 8;

export default function SearchWindow({ session, request, place, onClose }: {
  readonly session: Session;
  readonly request: SearchRequest;
  /** Where the pointer is in the window. */
  readonly place: { readonly x: number; readonly y: number };
  readonly onClose: () => void;
}) {
  const say = useSay();
  const catalog = useStore(session.store, (state) => state.catalog);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const search = useMemo(() => new NodeSearch(catalog, ownTitles(say)), [catalog, say]);
  const uses = useMemo(readUses, []);
  const { from } = request;
  const found = useMemo(() => search.find(text, from ?? null, uses), [search, text, from, uses]);
  const choose = (name: string | undefined) => {
    if (name === undefined) return;
    onClose();
    void addFound(session, name, request);
  };
  const key = (event: KeyboardEvent) => {
    const steps: Readonly<Record<string, number>> = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.key === "Enter") choose(found[at]?.name);
    else if (event.key in steps) setAt(Math.max(0, Math.min(found.length - 1, at + (steps[event.key] as number))));
    else return;
    event.preventDefault();
  };
  const left = Math.max(MARGIN, Math.min(place.x - 40, innerWidth - WIDTH - MARGIN));
  const top = Math.max(MARGIN, Math.min(place.y - 20, innerHeight - HEIGHT - MARGIN));
  return (
    <Dialog.Root open onOpenChange={(isOpen) => !isOpen && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40" />
        <Dialog.Popup
          className="fixed z-50 flex flex-col overflow-hidden rounded-xl border border-line bg-surface text-text shadow-2xl"
          style={{ left, top, width: `min(${WIDTH}px, calc(100vw - 16px))`, maxHeight: HEIGHT }}
        >
          <Dialog.Title className={from === undefined ? "sr-only" : "flex items-center gap-2 px-3 pt-2 text-xs text-quiet"}>
            {from === undefined ? say("search.title") : (
              <>
                <span aria-hidden className="size-2.5 rounded-full" style={{ background: typeColor(from.type) }} />
                {say("search.fits", { type: from.type })}
              </>
            )}
          </Dialog.Title>
          <input
            role="combobox" aria-expanded aria-controls="found-nodes" aria-autocomplete="list" aria-label={say("search.title")}
            aria-activedescendant={found.length > 0 ? `found-${at}` : undefined} spellCheck={false} autoComplete="off"
            className="border-b border-line bg-transparent px-3 py-2.5 text-sm outline-none placeholder:text-quiet"
            placeholder={say("search.placeholder")} value={text} onKeyDown={key}
            onChange={(event) => {
              setText(event.target.value);
              setAt(0);
            }}
          />
          <ul role="listbox" id="found-nodes" aria-label={say("search.title")} className="min-h-0 flex-1 overflow-auto p-1">
            {found.length === 0 && <li role="option" aria-selected={false} aria-disabled className="p-3 text-center text-quiet">{say("search.none")}</li>}
            {found.map((item, i) => (
              <li
                key={item.name} id={`found-${i}`} role="option" aria-selected={i === at}
                ref={i === at ? (element) => element?.scrollIntoView({ block: "nearest" }) : undefined}
                className="cursor-default rounded-md px-2.5 py-1 aria-selected:bg-raised" onPointerMove={() => i !== at && setAt(i)}
                onClick={() => choose(item.name)}
              >
                <span className="block truncate">{item.title}</span>
                <span className="block truncate text-xs text-quiet">{item.category || item.name}</span>
              </li>
            ))}
          </ul>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
