/** Which window of the browser a page is: its drafts belong to it, and come back when it is reloaded. */

import { newId } from "./new_id";

const WINDOW_KEY = "atelier-window";
const LOCK = "atelier-window-";
const CHANNEL = "atelier-windows";
const MAX_WAIT_MS = 10_000;

/** What windows say to each other: who bears an id, and the bearer's answer. */
interface Word {
  readonly asked?: string;
  readonly alive?: string;
}

/**
 * The id of this window, kept through reloads; a copy of a window gets its own.
 *
 * The page before may still hold the id for a moment, while it ends or lies in the browser's cache of pages: it is
 * waited for. The window this one is a copy of holds it for good, and says so.
 */
export async function ownWindow(): Promise<string> {
  const known = sessionStorage.getItem(WINDOW_KEY);
  const id = known !== null && (await isTaken(known)) ? known : newId();
  sessionStorage.setItem(WINDOW_KEY, id);
  if (id !== known) await isTaken(id);
  return id;
}

/** The ids of all windows that are open. Empty on pages of plain HTTP, which have no locks: there, every window takes what it finds. */
export async function livingWindows(): Promise<ReadonlySet<string>> {
  if (!("locks" in navigator)) return new Set();
  const { held = [] } = await navigator.locks.query();
  return new Set(held.map((lock) => lock.name ?? "").filter((name) => name.startsWith(LOCK)).map((name) => name.slice(LOCK.length)));
}

/** Take an id until this page is gone; false when another living window has it. */
async function isTaken(id: string): Promise<boolean> {
  if (!("locks" in navigator)) return true;
  const wait = new AbortController();
  const timer = setTimeout(() => wait.abort(), MAX_WAIT_MS);
  const question = ask(id, () => wait.abort());
  try {
    await new Promise<void>((taken, refused) => {
      const hold = () => {
        taken();
        return new Promise<void>(() => undefined);
      };
      navigator.locks.request(LOCK + id, { signal: wait.signal }, hold).catch(refused);
    });
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
    question?.close();
  }
  answerFor(id);
  return true;
}

function ask(id: string, onAlive: () => void): BroadcastChannel | null {
  if (typeof BroadcastChannel === "undefined") return null;
  const channel = new BroadcastChannel(CHANNEL);
  channel.addEventListener("message", ({ data }: MessageEvent<Word>) => data.alive === id && onAlive());
  channel.postMessage({ asked: id } satisfies Word);
  return channel;
}

/** Answer those who ask for this window, for as long as it is shown: a page on its way out has no say any more. */
function answerFor(id: string): void {
  if (typeof BroadcastChannel === "undefined") return;
  const listen = () => {
    const channel = new BroadcastChannel(CHANNEL);
    channel.addEventListener("message", ({ data }: MessageEvent<Word>) => data.asked === id && channel.postMessage({ alive: id } satisfies Word));
    addEventListener("pagehide", () => channel.close(), { once: true });
  };
  addEventListener("pageshow", ({ persisted }) => void (persisted && listen()));
  listen();
}
