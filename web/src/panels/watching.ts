/** Asks the server again and again while the page is seen, and tells the session whether it is there. */

import { useEffect, useState } from "react";
import type { Session } from "../app/session";
import { ServerError, Unreachable } from "../server/client";

/** What an error says about the connection: a server that answers is there. */
export function noteConnection(session: Session, error: unknown): void {
  const { connection } = session.store.getState();
  const next = error instanceof Unreachable ? "away"
    : error instanceof ServerError && error.status === 401 ? "locked" : "there";
  if (next !== connection) session.store.setState({ connection: next });
}

/** The newest answer of `load`, null before the first one; asked again every `everyMs` and when `key` changes. */
export function useWatched<T>(
  session: Session, load: (signal: AbortSignal) => Promise<T>, everyMs: number, key: string,
): { readonly value: T | null; readonly again: () => void } {
  const [value, setValue] = useState<T | null>(null);
  const [count, setCount] = useState(0);
  useEffect(() => {
    const end = new AbortController();
    let timer = 0;
    const ask = async () => {
      clearTimeout(timer);
      if (document.visibilityState !== "hidden") {
        try {
          setValue(await load(end.signal));
          noteConnection(session, null);
        } catch (error) {
          if (end.signal.aborted) return;
          noteConnection(session, error);
        }
      }
      if (!end.signal.aborted) timer = window.setTimeout(() => void ask(), everyMs);
    };
    const seen = () => document.visibilityState === "visible" && void ask();
    document.addEventListener("visibilitychange", seen, { signal: end.signal });
    void ask();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
    // `load` is new at every rendering; `key` says when it asks for something else.
  }, [session, everyMs, key, count]);
  return { value, again: () => setCount((now) => now + 1) };
}
