/** JSON text ↔ values without losing whole numbers beyond 2^53, `NaN` and `Infinity`, which files of servers carry. */

import type { Json } from "./json";

const SPECIAL = /\d{16}|NaN|Infinity/;
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|-?Infinity|NaN/g;
const MARK = "\u0001number:";
const MARKED = /"\\u0001number:([^"]*)"/g;

/** Raises SyntaxError for text that is no JSON. */
export function parseJson(text: string): Json {
  const plain = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  if (!SPECIAL.test(plain)) return JSON.parse(plain) as Json;
  let found = false;
  const marked = plain.replace(TOKEN, (token) => {
    if (token.startsWith('"') || !needsMark(token)) return token;
    found = true;
    return JSON.stringify(MARK + token);
  });
  if (!found) return JSON.parse(plain) as Json;
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === "string" && value.startsWith(MARK) ? unmarked(value.slice(MARK.length)) : value,
  ) as Json;
}

/** `space` as in JSON.stringify. */
export function writeJson(value: Json, space?: number): string {
  let found = false;
  const text = JSON.stringify(
    value,
    (_key, item: unknown) => {
      if (typeof item === "bigint" || (typeof item === "number" && !Number.isFinite(item))) {
        found = true;
        return MARK + String(item);
      }
      return item;
    },
    space,
  );
  return found ? text.replace(MARKED, "$1") : text;
}

function needsMark(token: string): boolean {
  if (/^-?\d+$/.test(token)) return !Number.isSafeInteger(Number(token));
  return token.endsWith("y") || token === "NaN";
}

function unmarked(token: string): number | bigint {
  return /^-?\d+$/.test(token) ? BigInt(token) : Number(token);
}
