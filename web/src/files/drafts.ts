/**
 * Documents as this browser keeps them: a draft for each open tab, and snapshots to go back to. A draft belongs to the
 * window it is open in; a new window takes those whose window is gone.
 */

import { openDB, type DBSchema, type IDBPDatabase } from "idb";

export interface Draft {
  readonly tab: string;
  readonly window: string;
  readonly title: string;
  readonly saved: { readonly name: string; readonly etag: string } | null;
  /** The workflow file. Never empty. */
  readonly text: string;
  readonly isChanged: boolean;
  readonly order: number;
  readonly at_ms: number;
  /** Its newest job, whose pictures it shows; not in drafts of earlier releases. */
  readonly job?: string | null;
}

export interface Snapshot {
  readonly id?: number;
  readonly title: string;
  readonly text: string;
  readonly at_ms: number;
}

interface Schema extends DBSchema {
  drafts: { key: string; value: Draft };
  snapshots: { key: number; value: Snapshot; indexes: { title: string } };
}

const SNAPSHOT_EVERY_MS = 30_000;
const MAX_SNAPSHOTS = 30;

export class Drafts {
  private readonly database: Promise<IDBPDatabase<Schema>>;
  /** The window of each draft, as this page has read or written it last. */
  private readonly windows = new Map<string, string>();

  constructor(name = "atelier") {
    this.database = openDB<Schema>(name, 1, {
      upgrade(database) {
        database.createObjectStore("drafts", { keyPath: "tab" });
        const snapshots = database.createObjectStore("snapshots", { keyPath: "id", autoIncrement: true });
        snapshots.createIndex("title", "title");
      },
    });
  }

  async all(): Promise<readonly Draft[]> {
    const found = await (await this.database).getAll("drafts");
    for (const draft of found) this.windows.set(draft.tab, draft.window);
    return found.filter((draft) => draft.text !== "").sort((one, other) => one.order - other.order);
  }

  /**
   * Keep these drafts of a window and no others of it; one transaction, so that there is never half of it.
   *
   * It is asked for whole at the first moment and waits for no answer: of a page that goes, nothing runs after that.
   */
  async keep(window: string, drafts: readonly Draft[]): Promise<void> {
    const change = (await this.database).transaction("drafts", "readwrite");
    const kept = drafts.filter((draft) => draft.text !== "");
    const wanted = new Set(drafts.map((draft) => draft.tab));
    const gone = [...this.windows].filter(([tab, owner]) => owner === window && !wanted.has(tab)).map(([tab]) => tab);
    const asked = [...gone.map((tab) => change.store.delete(tab)), ...kept.map((draft) => change.store.put(draft))];
    for (const { tab } of kept) this.windows.set(tab, window);
    change.commit();
    await Promise.all([...asked, change.done]);
    for (const tab of gone) this.windows.delete(tab);
  }

  /** Add to the history of a title, unless the newest is young or the same. */
  async snapshot(entry: Snapshot, everyMs = SNAPSHOT_EVERY_MS): Promise<void> {
    if (entry.text === "") return;
    const change = (await this.database).transaction("snapshots", "readwrite");
    const known = await change.store.index("title").getAll(entry.title);
    const newest = known.at(-1);
    const isSame = newest?.text === entry.text;
    if (!isSame && (newest === undefined || entry.at_ms - newest.at_ms >= everyMs)) {
      void change.store.add(entry);
      for (const old of known.slice(0, Math.max(0, known.length + 1 - MAX_SNAPSHOTS))) {
        if (old.id !== undefined) void change.store.delete(old.id);
      }
    }
    await change.done;
  }

  /** Newest first. */
  async history(title: string): Promise<readonly Snapshot[]> {
    return (await (await this.database).getAllFromIndex("snapshots", "title", title)).reverse();
  }
}
