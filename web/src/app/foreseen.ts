/** What the open workflow would do if it ran now. */

import type { OpenDocument } from "../model/open_document";
import { shortWhy, type BadgeWords, type Why } from "../model/reasons";
import type { NodeId } from "../model/records";

export interface ForeseenRun {
  readonly seconds: number | null;
  readonly why: Why;
}

export interface Foreseen {
  readonly document: OpenDocument;
  readonly canRun: boolean;
  /** By path: "12", or "5:12" for a node inside of the instance 5. */
  readonly cached: ReadonlySet<NodeId>;
  /** Sources first. */
  readonly runs: ReadonlyMap<NodeId, ForeseenRun>;
  readonly seconds: number | null;
}

/** What is foreseen for a node of the shown graph, in a word; null for nothing. */
export function foreseenText({ cached, runs }: Foreseen, id: NodeId, isRoot: boolean, words: BadgeWords): string | null {
  const isIts = (path: string) => path === id || (isRoot ? path.startsWith(`${id}:`) : path.endsWith(`:${id}`));
  const own = [...runs].filter(([path]) => isIts(path)).map(([, run]) => run);
  if (own.length === 0) return [...cached].some(isIts) ? words.cached : null;
  const seconds = own.reduce<number | null>((sum, run) => (sum === null || run.seconds === null ? null : sum + run.seconds), 0);
  const why = [...new Set(own.map((run) => shortWhy(run.why, words)).filter((text) => text !== ""))].slice(0, 3).join(", ");
  return [words.runs, why, seconds === null ? "" : words.time(seconds)].filter((text) => text !== "").join(" · ");
}
