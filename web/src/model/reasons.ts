/** Why a node ran or would run, from what the server says about it. */

import { isArray, isObject, type JsonObject } from "./json";

export interface Why {
  /** The server's word: first_run, inputs_changed, outside_changed, always_runs, not_kept … */
  readonly code: string;
  /** Its own inputs that differ; empty when only what it is linked to does. */
  readonly inputs: readonly string[];
}

const SHORT: Readonly<Record<string, string>> = {
  first_run: "new", outside_changed: "file", always_runs: "always", not_kept: "not kept", version_changed: "update",
  type_changed: "update", cache_off: "no cache",
};

export function whyOf(reason: JsonObject): Why {
  const changed = isArray(reason.inputs) ? reason.inputs.filter(isObject) : [];
  const own = changed.filter((item) => item.upstream !== true).map((item) => String(item.input ?? ""));
  return { code: typeof reason.reason === "string" ? reason.reason : "", inputs: own };
}

/** A word or two for a badge; "" for what only follows from the nodes before it. */
export function shortWhy({ code, inputs }: Why): string {
  return inputs.length > 0 ? inputs.join(", ") : (SHORT[code] ?? "");
}
