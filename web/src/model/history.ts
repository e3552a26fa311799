/** Undo and redo: a log of changes, each with its inverse. Changes of one gesture become one step. */

import { inverseOf, type Op } from "./edit";

export interface Step {
  /** What the step is called in menus, such as "Move nodes". */
  readonly label: string;
  readonly ops: readonly Op[];
  /** Steps with the same key that follow each other within a moment are one step; null for none. */
  readonly merge: string | null;
  readonly atMs: number;
}

export interface History {
  readonly done: readonly Step[];
  readonly undone: readonly Step[];
}

export const NO_HISTORY: History = { done: [], undone: [] };
const MAX_STEPS = 500;
const MERGE_WITHIN_MS = 1000;

/** `withinMs`: how soon after the step before one with its key joins it. */
export function remember(history: History, step: Step, withinMs = MERGE_WITHIN_MS): History {
  const last = history.done.at(-1);
  const joins =
    last !== undefined && step.merge !== null && last.merge === step.merge &&
    step.atMs - last.atMs <= withinMs && history.undone.length === 0;
  if (!joins) return { done: [...history.done.slice(1 - MAX_STEPS), step], undone: [] };
  const joined = { ...step, label: last.label, ops: squeezed([...last.ops, ...step.ops]) };
  return { done: [...history.done.slice(0, -1), joined], undone: [] };
}

/** The operations that take the last step back, and the history without it; null when there is none. */
export function undo(history: History): { readonly ops: readonly Op[]; readonly history: History } | null {
  const step = history.done.at(-1);
  if (step === undefined) return null;
  return {
    ops: inverseOf(step.ops),
    history: { done: history.done.slice(0, -1), undone: [...history.undone, step] },
  };
}

export function redo(history: History): { readonly ops: readonly Op[]; readonly history: History } | null {
  const step = history.undone.at(-1);
  if (step === undefined) return null;
  return { ops: step.ops, history: { done: [...history.done, step], undone: history.undone.slice(0, -1) } };
}

/** Operations with the replacements of one record after the other made one; additions and removals stay as they are. */
export function squeezed(ops: readonly Op[]): Op[] {
  const found: Op[] = [];
  const places = new Map<string, number>();
  for (const op of ops) {
    const key = op.on === "graph" ? null : `${op.on} ${op.graph} ${op.on === "rest" ? op.key : op.id}`;
    const isReplacement = op.before !== undefined && op.after !== undefined;
    const at = key === null ? undefined : places.get(key);
    if (at !== undefined && isReplacement) {
      found[at] = { ...(found[at] as Op), after: op.after } as Op;
      continue;
    }
    // What comes after an addition, a removal or another graph must not move before it.
    if (!isReplacement) places.clear();
    else if (key !== null) places.set(key, found.length);
    found.push(op);
  }
  return found;
}
