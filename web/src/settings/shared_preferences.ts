/**
 * Preferences in every browser that opens this server: each is kept there with the time of its change, the newest wins.
 * Without the server they are kept in this browser and go there when it is back.
 */

import { createStore, type StoreApi } from "zustand/vanilla";
import { readPreferences, type Preferences } from "./preferences";

/** Where several browsers find the same settings. */
export interface SharedSettings {
  readonly read: () => Promise<Readonly<Record<string, unknown>>>;
  readonly write: (changes: Readonly<Record<string, unknown>>) => Promise<void>;
}

interface Surroundings {
  readonly shared: SharedSettings;
  readonly storage: Pick<Storage, "getItem" | "setItem"> | null;
  readonly nowMs: () => number;
}

type Name = keyof Preferences;
type Times = Partial<Record<Name, number>>;

const PREFIX = "Atelier.";
const TIMES_KEY = "atelier-preference-times";
const QUIET_MS = 400;

/** Whether preferences are the same on the server; null before that is known. */
export const sharing = createStore<{ readonly isShared: boolean | null }>(() => ({ isShared: null }));

export class PreferenceSharing {
  private readonly store: StoreApi<Preferences>;
  private readonly around: Surroundings;
  private readonly times: Times;
  private isTaking = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(store: StoreApi<Preferences>, around: Surroundings) {
    this.store = store;
    this.around = around;
    this.times = timesIn(around.storage?.getItem(TIMES_KEY) ?? null);
    store.subscribe((state, before) => this.noteChanges(state, before));
  }

  /** Take what is newer on the server and send what is newer here. */
  async meet(): Promise<void> {
    try {
      const found = await this.around.shared.read();
      const own: Name[] = [];
      const taken: Partial<Record<Name, unknown>> = {};
      for (const name of Object.keys(this.store.getState()) as Name[]) {
        const entry = entryOf(found[PREFIX + name]);
        const mine = this.times[name] ?? 0;
        if (entry !== null && entry.at_ms > mine) {
          taken[name] = entry.value;
          this.times[name] = entry.at_ms;
        } else if (mine > (entry?.at_ms ?? 0)) own.push(name);
      }
      this.take(taken);
      await this.send(own);
      sharing.setState({ isShared: true });
    } catch {
      sharing.setState({ isShared: false });
    }
  }

  private noteChanges(state: Preferences, before: Preferences): void {
    const changed = (Object.keys(state) as Name[]).filter((name) => state[name] !== before[name]);
    if (this.isTaking || changed.length === 0) return;
    // Later than what was taken, even where another machine's clock is ahead.
    for (const name of changed) this.times[name] = Math.max(this.around.nowMs(), (this.times[name] ?? 0) + 1);
    this.keepTimes();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.meet(), QUIET_MS);
  }

  private take(values: Partial<Record<Name, unknown>>): void {
    if (Object.keys(values).length === 0) return;
    const now = this.store.getState();
    const next = readPreferences(JSON.stringify({ ...now, ...values }), [now.language]);
    this.isTaking = true;
    this.store.setState(Object.fromEntries(Object.keys(values).map((name) => [name, next[name as Name]])));
    this.isTaking = false;
    this.keepTimes();
  }

  private async send(names: readonly Name[]): Promise<void> {
    if (names.length === 0) return;
    const state = this.store.getState();
    await this.around.shared.write(Object.fromEntries(
      names.map((name) => [PREFIX + name, { value: state[name], at_ms: this.times[name] }]),
    ));
  }

  private keepTimes(): void {
    try {
      this.around.storage?.setItem(TIMES_KEY, JSON.stringify(this.times));
    } catch {
      // A browser that keeps nothing takes what the server has at the next visit.
    }
  }
}

function entryOf(value: unknown): { readonly value: unknown; readonly at_ms: number } | null {
  if (typeof value !== "object" || value === null) return null;
  const { at_ms: time, value: kept } = value as { at_ms?: unknown; value?: unknown };
  return typeof time === "number" && Number.isFinite(time) ? { value: kept, at_ms: time } : null;
}

function timesIn(text: string | null): Times {
  try {
    const found: unknown = JSON.parse(text ?? "{}");
    const entries = Object.entries(typeof found === "object" && found !== null ? found : {});
    return Object.fromEntries(entries.filter(([, time]) => typeof time === "number"));
  } catch {
    return {};
  }
}
