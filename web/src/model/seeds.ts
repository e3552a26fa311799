/** What seeds and other controlled widgets become before or after a run: fixed, incremented, decremented, random. */

import type { Edit } from "./edit";
import type { Json } from "./json";
import { isInstance } from "./node_reading";
import { MODE, type GraphId, type WorkflowDocument } from "./records";
import { choicesOf, type InputSpec } from "./catalog";
import { valuesWith, widgetsOf, type WidgetContext } from "./widgets";

export const CONTROLS = ["fixed", "increment", "decrement", "randomize"] as const;
export type Control = (typeof CONTROLS)[number];
/** Random seeds stay where every reader of the file holds them exactly. */
const MAX_RANDOM = Number.MAX_SAFE_INTEGER;

/** The next value of a controlled widget. `random` gives numbers from 0 to below 1. */
export function nextValue(spec: InputSpec, value: Json | undefined, control: string, context: {
  readonly random: () => number;
  readonly choices: readonly Json[] | null;
}): Json | undefined {
  if (control === "fixed") return value;
  const { choices } = context;
  if (choices !== null) {
    if (choices.length === 0) return value;
    const at = choices.findIndex((item) => item === value);
    if (control === "randomize") return choices[Math.floor(context.random() * choices.length)];
    return choices[Math.min(choices.length - 1, Math.max(0, at + (control === "increment" ? 1 : -1)))];
  }
  const [min, max, step] = [bound(spec.options.min, 0n), bound(spec.options.max, BigInt(MAX_RANDOM)), 1n];
  const now = bound(value, min);
  if (control === "increment") return narrow(now + step > max ? max : now + step);
  if (control === "decrement") return narrow(now - step < min ? min : now - step);
  if (control !== "randomize") return value;
  const top = max > BigInt(MAX_RANDOM) ? BigInt(MAX_RANDOM) : max;
  const width = Number(top - min) + 1;
  return narrow(min + BigInt(Math.min(width - 1, Math.floor(context.random() * width))));
}

function bound(value: Json | undefined, fallback: bigint): bigint {
  if (typeof value === "bigint") return value;
  return typeof value === "number" && Number.isFinite(value) ? BigInt(Math.trunc(value)) : fallback;
}

function narrow(value: bigint): Json {
  return value >= -BigInt(MAX_RANDOM) && value <= BigInt(MAX_RANDOM) ? Number(value) : value;
}

/** Moves every unlinked controlled widget of the document on, as after a run. */
export function advanceSeeds(edit: Edit, context: WidgetContext, random: () => number): void {
  for (const graph of reachable(context.document)) {
    const state = edit.graph(graph);
    for (const [id, node] of state.nodes.byId) {
      if (node.mode === MODE.muted || node.mode === MODE.bypassed) continue;
      const views = widgetsOf(context, state, node);
      for (const view of views) {
        if (view.control === null || view.control === "fixed" || view.spec === null || view.isLinked) continue;
        const choices = choicesOf(view.spec, context.listFiles);
        const next = nextValue(view.spec, view.value, view.control, { random, choices });
        const now = edit.get(graph, "nodes", id);
        if (next === undefined || next === view.value || now === undefined) continue;
        edit.put(graph, "nodes", id, { ...now, widgets_values: valuesWith(context, now, views, view.name, next) });
      }
    }
  }
}

/** The root and every definition that an instance uses. */
function reachable(document: WorkflowDocument): ReadonlySet<GraphId> {
  const seen = new Set<GraphId>([""]);
  for (const id of seen) {
    for (const node of document.graphs.get(id)?.nodes.byId.values() ?? []) {
      if (isInstance(node, document)) seen.add(node.type as string);
    }
  }
  return seen;
}

