/** Why a node ran or would run, from what the server says about it. */

import { isArray, isObject, type JsonObject } from "./json";

export interface Why {
  /** The server's word: first_run, inputs_changed, outside_changed, always_runs, not_kept … */
  readonly code: string;
  /** Its own inputs that differ; empty when only what it is linked to does. */
  readonly inputs: readonly string[];
}

/** What badges say, given by those who know the language. */
export interface BadgeWords {
  readonly cached: string;
  readonly ran: string;
  readonly running: string;
  readonly failed: string;
  /** That a node would run. */
  readonly runs: string;
  /** So many seconds. */
  readonly time: (seconds: number) => string;
  /** So many bytes. */
  readonly size: (bytes: number) => string;
  /** By the server's word. */
  readonly reasons: Readonly<Record<string, string>>;
}

export function whyOf(reason: JsonObject): Why {
  const changed = isArray(reason.inputs) ? reason.inputs.filter(isObject) : [];
  const own = changed.filter((item) => item.upstream !== true).map((item) => String(item.input ?? ""));
  return { code: typeof reason.reason === "string" ? reason.reason : "", inputs: own };
}

/** A word or two for a badge; "" for what only follows from the nodes before it. */
export function shortWhy({ code, inputs }: Why, { reasons }: BadgeWords): string {
  return inputs.length > 0 ? inputs.join(", ") : (reasons[code] ?? "");
}
