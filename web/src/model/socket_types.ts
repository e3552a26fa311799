/** Which sockets fit each other. Comma lists fit when they share a member; `*` and nothing fit everything. */

import { isArray, isObject, type Json } from "./json";

/** The type of an input or output entry as text; a list of choices (old files) is COMBO. */
export function socketType(item: unknown): string {
  const type = isObject(item) ? item.type : undefined;
  return typeof type === "string" ? type : isArray(type) ? "COMBO" : "";
}

export function typesFit(given: string, wanted: string): boolean {
  if (given === wanted || given === "*" || wanted === "*" || given === "" || wanted === "") return true;
  const members = new Set(given.toLowerCase().split(",").map((part) => part.trim()));
  return wanted.toLowerCase().split(",").some((part) => members.has(part.trim()));
}

/** How well types fit, for ranking: 3 the same, 2 share a member, 1 one takes everything, 0 not at all. */
export function fitness(given: string, wanted: string): number {
  if (!typesFit(given, wanted)) return 0;
  if (given === wanted && given !== "*") return 3;
  return given === "*" || wanted === "*" || given === "" || wanted === "" ? 1 : 2;
}

/** A type as a link keeps it. */
export function linkType(outputType: string, inputType: string): Json {
  return outputType === "*" || outputType === "" ? inputType || "*" : outputType;
}
