/** Keeps every open document in this browser a second after a change and when the page goes, and brings them back when it opens again. */

import type { Draft, Drafts } from "../files/drafts";
import { parseJson, writeJson } from "../model/json_text";
import type { OpenDocument } from "../model/open_document";
import { rootOf } from "../model/records";
import { saveWorkflow } from "../model/workflow_file";
import { faultText } from "./fault_text";
import { livingWindows, ownWindow } from "./own_window";
import type { Session } from "./session";
import { nameOfTab, type Tab } from "./tab";

const QUIET_MS = 800;
const ACTIVE_KEY = "atelier-tab";
const CHANNEL = "atelier-open-files";

export class Autosave {
  private readonly session: Session;
  private readonly drafts: Pick<Drafts, "all" | "keep" | "snapshot">;
  private readonly texts = new WeakMap<object, string>();
  private readonly ends = new Map<OpenDocument, { readonly end: () => void; readonly tab: Tab }>();
  private channel: BroadcastChannel | null = null;
  private window = "";
  /** The windows that have a file of this one open. */
  private readonly others = new Set<unknown>();
  private timer = 0;
  private isWriting = false;

  constructor(session: Session, drafts: Pick<Drafts, "all" | "keep" | "snapshot">) {
    this.session = session;
    this.drafts = drafts;
  }

  /** Restore what was open, then follow every change. `wanted` is the saved workflow to show, from a draft of it if there is one. */
  async start(wanted: string | null = null): Promise<void> {
    this.window = await ownWindow();
    try {
      await this.restore(wanted);
    } catch (error) {
      this.session.tell(error);
    }
    // What an address has opened is shown again when the page comes back without it.
    sessionStorage.setItem(ACTIVE_KEY, this.session.store.getState().active);
    this.session.store.subscribe((state, before) => {
      if (state.active !== before.active) sessionStorage.setItem(ACTIVE_KEY, state.active);
      if (state.tabs !== before.tabs) this.follow();
    });
    this.follow();
    // The next page is to find its job, even if this one crashes.
    this.session.board.subscribe((_document, _before, _after, kind) => kind === "submitted" && this.soon());
    // A page that is asked to go has more time than one that goes; not every page is asked.
    for (const kind of ["beforeunload", "pagehide"]) addEventListener(kind, () => this.leave());
    addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.leave());
  }

  private async restore(wanted: string | null): Promise<void> {
    const alive = await livingWindows();
    const found = await this.drafts.all();
    const own = found.filter((draft) => draft.window === this.window);
    const orphans = found.filter((draft) => draft.window !== this.window && !alive.has(draft.window));
    const kept = own.length > 0 ? own : orphans;
    const tabs = kept.map((draft) => this.tabOf(draft));
    const named = wanted === null ? undefined : tabs.find((tab) => (tab.saved ?? tab.unreadable?.saved)?.name === wanted);
    // Before the drafts come back: none of them is shown first, only to be covered.
    const isOpened = wanted !== null && named === undefined && (await this.session.openSaved(wanted));
    await this.session.restoreTabs(tabs, isOpened ? null : (named?.id ?? sessionStorage.getItem(ACTIVE_KEY)));
    for (const [at, tab] of tabs.entries()) {
      const job = kept[at]?.job ?? null;
      if (job !== null) void this.session.recall(tab.open, job);
    }
  }

  /** What cannot be read is shown as it is: it may be all that is left of somebody's work. */
  private tabOf(draft: Draft): Tab {
    const { tab: id, title, saved, text } = draft;
    try {
      const tab = this.session.makeTab(parseJson(text), { id, saved, title });
      if (draft.isChanged) tab.open.markChanged();
      return tab;
    } catch (error) {
      return this.session.makeUnreadableTab(id, saved?.name ?? title, { text, saved, reason: faultText(error) });
    }
  }

  private follow(): void {
    const { tabs } = this.session.store.getState();
    const open = new Set(tabs.map((tab) => tab.open));
    for (const [document, { end, tab }] of this.ends) {
      if (open.has(document)) continue;
      end();
      this.ends.delete(document);
      // A closed tab takes its draft along; what was not saved stays in the history.
      const last = { title: nameOfTab(tab), text: this.textOf(tab), at_ms: Date.now() };
      if (document.isChanged || tab.unreadable !== null) void this.drafts.snapshot(last, 0).catch(() => undefined);
    }
    for (const tab of tabs) {
      const known = this.ends.get(tab.open);
      const end = known?.end
        ?? tab.open.subscribe(({ kind }) => (kind === "edit" || kind === "saved") && this.soon());
      this.ends.set(tab.open, { end, tab });
    }
    this.tellOthers();
    void this.write();
  }

  /** Two windows with one file: both are told, before one of them replaces what the other saved, and told when it is over. */
  private tellOthers(): void {
    if (typeof BroadcastChannel === "undefined") return;
    this.channel ??= this.listen();
    const names = this.session.store.getState().tabs.flatMap((tab) => (tab.saved === null ? [] : [tab.saved.name]));
    this.channel.postMessage({ names, window: this.window });
  }

  private listen(): BroadcastChannel {
    const channel = new BroadcastChannel(CHANNEL);
    addEventListener("pagehide", () => channel.postMessage({ names: [], window: this.window }));
    addEventListener("pageshow", () => this.tellOthers());
    channel.addEventListener("message", ({ data }: MessageEvent<{ names?: unknown; window?: unknown; isAnswer?: boolean }>) => {
      const names = Array.isArray(data.names) ? data.names : [];
      const { tabs } = this.session.store.getState();
      const both = tabs.find((tab) => tab.saved !== null && names.includes(tab.saved.name))?.saved;
      if (both === undefined || both === null) {
        const isLast = data.isAnswer !== true && this.others.delete(data.window) && this.others.size === 0;
        return isLast ? this.session.store.setState({ elsewhere: null }) : undefined;
      }
      this.others.add(data.window);
      this.session.store.setState({ elsewhere: both.name });
      if (data.isAnswer !== true) channel.postMessage({ names: [both.name], window: this.window, isAnswer: true });
    });
    return channel;
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.write(), QUIET_MS);
  }

  /** Keep what is open at once, whatever is being written: nothing of this page may run after this. */
  private leave(): void {
    void this.drafts.keep(this.window, this.draftsAt(Date.now())).catch((error: unknown) => this.session.tell(error));
    this.soon();
  }

  private async write(): Promise<void> {
    if (this.isWriting) return this.soon();
    this.isWriting = true;
    try {
      const now = Date.now();
      const drafts = this.draftsAt(now);
      await this.drafts.keep(this.window, drafts);
      for (const draft of drafts) {
        if (draft.isChanged) await this.drafts.snapshot({ title: draft.saved?.name ?? draft.title, text: draft.text, at_ms: now });
      }
    } catch (error) {
      this.session.tell(error);
    } finally {
      this.isWriting = false;
    }
  }

  /** What is open, but for empty tabs nobody has touched. */
  private draftsAt(now: number): Draft[] {
    return this.session.store.getState().tabs.flatMap((tab, order): Draft[] => {
      const { open, unreadable } = tab;
      const saved = unreadable?.saved ?? tab.saved;
      if (saved === null && unreadable === null && rootOf(open.document).nodes.ids.length === 0 && !open.isChanged) return [];
      const isChanged = open.isChanged || unreadable !== null;
      const [text, job] = [this.textOf(tab), this.session.board.jobOf(open)];
      return [{ tab: tab.id, window: this.window, title: tab.title, saved, text, order, isChanged, at_ms: now, job }];
    });
  }

  private textOf({ open: { document }, unreadable }: Tab): string {
    if (unreadable !== null) return unreadable.text;
    const known = this.texts.get(document) ?? writeJson(saveWorkflow(document));
    this.texts.set(document, known);
    return known;
  }
}
