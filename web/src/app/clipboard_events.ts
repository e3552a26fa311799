/** Copy, cut and paste of parts of a graph by the browser's own events: as JSON text, across tabs and programs. */

import { copied, isOwnClipboard, isPasteable, paste } from "../model/clipboard";
import type { Json } from "../model/json";
import { parseJson, writeJson } from "../model/json_text";
import { isEmptySelection } from "../model/selection";
import { newId } from "./new_id";
import type { Session } from "./session";

/** Returns the function that ends the listening. */
export function listenToClipboard(session: Session): () => void {
  const end = new AbortController();
  let pointer = { x: Number.NaN, y: Number.NaN };
  addEventListener("pointermove", ({ clientX, clientY }) => void (pointer = { x: clientX, y: clientY }), { signal: end.signal, passive: true });
  const isOurs = (event: ClipboardEvent) => {
    const target = event.target instanceof Element ? event.target : document.body;
    const isText = target.closest("input, textarea, select, [contenteditable], [role=dialog]") !== null;
    return !isText && session.desk !== null && (getSelection()?.isCollapsed ?? true);
  };
  const take = (event: ClipboardEvent): boolean => {
    const { open } = session.store.getState();
    if (!isOurs(event) || isEmptySelection(open.selection)) return false;
    event.clipboardData?.setData("text/plain", writeJson(copied(open.document, open.graph.id, open.selection)));
    event.preventDefault();
    return true;
  };
  document.addEventListener("copy", (event) => void take(event), { signal: end.signal });
  document.addEventListener("cut", (event) => void (take(event) && session.desk?.perform("delete")), { signal: end.signal });
  document.addEventListener("paste", (event) => {
    if (!isOurs(event)) return;
    const value = parsed(event.clipboardData?.getData("text/plain") ?? "");
    if (value === null || !isPasteable(value)) return;
    event.preventDefault();
    // A whole workflow of somebody else's is not put into this one.
    if (isOwnClipboard(value)) pasteAt(session, value, pointer);
    else void session.openValue(value);
  }, { signal: end.signal });
  return () => end.abort();
}

/** Where the pointer is over the graph, else in its middle. */
function pasteAt(session: Session, value: Json, pointer: { readonly x: number; readonly y: number }): void {
  const { open } = session.store.getState();
  const { desk } = session;
  if (desk === null) return;
  const box = document.getElementById("graph")?.getBoundingClientRect();
  const isOver = box !== undefined && pointer.x >= box.left && pointer.x <= box.right && pointer.y >= box.top && pointer.y <= box.bottom;
  const at = isOver ? desk.placeAt({ x: pointer.x - box.left, y: pointer.y - box.top }) : desk.middle();
  open.select(open.edit("Paste", (edit) => paste(edit, open.graph.id, value, at, newId)));
  void session.loadFiles(open.document);
}

function parsed(text: string): Json | null {
  if (!text.trimStart().startsWith("{")) return null;
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
