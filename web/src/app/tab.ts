/** An open workflow as the page has it: its document, its name, and what it was kept as. */

import type { OpenDocument } from "../model/open_document";
import { rootOf } from "../model/records";

/** A document's name on the server, and the ETag it was read under. */
export interface Saved {
  readonly name: string;
  readonly etag: string;
}

export interface Tab {
  readonly id: string;
  readonly open: OpenDocument;
  /** null for a document that was never saved. */
  readonly saved: Saved | null;
  /** What it is called while it is not saved. */
  readonly title: string;
  /** What was kept of it and cannot be read any more; `open` is empty then. null for every sound tab. */
  readonly unreadable: Unreadable | null;
}

/** A kept text that is no workflow, with the name it had on the server. */
export interface Unreadable {
  readonly text: string;
  readonly reason: string;
  readonly saved: Saved | null;
}

/** "" for one nobody has named. */
export function nameOfTab(tab: Tab | undefined): string {
  return tab?.saved?.name ?? tab?.title ?? "";
}

/** An empty tab that nobody has touched. */
export function isBlank(tab: Tab): boolean {
  return tab.saved === null && tab.unreadable === null && !tab.open.isChanged && rootOf(tab.open.document).nodes.ids.length === 0;
}
