/** What differs between two states of a workflow: nodes, their values, where their inputs come from. */

import type { Edit } from "./edit";
import { sameJson, type Json } from "./json";
import { inputLink, inputsOf, modeOf, positionOf, savedSizeOf, titleOf, typeOf, type Point } from "./node_reading";
import type { GraphId, GraphState, NodeId, NodeRecord, WorkflowDocument } from "./records";
import { widgetsOf, type WidgetContext } from "./widgets";

export interface ValueChange {
  readonly name: string;
  readonly before: Json | undefined;
  readonly after: Json | undefined;
}

export interface NodeChange {
  /** "moved" is all that happened to it: another place or size. */
  readonly kind: "added" | "removed" | "changed" | "moved";
  readonly graph: GraphId;
  readonly node: NodeId;
  readonly title: string;
  readonly values: readonly ValueChange[];
  /** What else is different about a changed node. */
  readonly also: readonly ("type" | "title" | "mode" | "links" | "look")[];
  /** Where it is, or where it was when it is gone. */
  readonly at: Point & { readonly width: number; readonly height: number };
}

const PLAIN: ReadonlySet<string> = new Set([
  "id", "type", "pos", "size", "title", "mode", "inputs", "outputs", "widgets_values", "order", "flags", "properties",
]);

/** The changes from `before` to `after`, graph by graph; nothing for a subgraph that is only in one of them as a whole. */
export function diffOf(
  before: WorkflowDocument, after: WorkflowDocument, context: Omit<WidgetContext, "document">,
): readonly NodeChange[] {
  const [old, now] = [{ ...context, document: before }, { ...context, document: after }];
  return [...new Set([...before.graphs.keys(), ...after.graphs.keys()])].flatMap((graph) => {
    const [one, two] = [before.graphs.get(graph), after.graphs.get(graph)];
    const ids = new Set([...(one?.nodes.ids ?? []), ...(two?.nodes.ids ?? [])]);
    return [...ids].flatMap((id) => changeOf(old, now, one, two, id) ?? []);
  });
}

function changeOf(
  old: WidgetContext, now: WidgetContext, before: GraphState | undefined, after: GraphState | undefined, node: NodeId,
): NodeChange | null {
  const [one, two] = [before?.nodes.byId.get(node), after?.nodes.byId.get(node)];
  const record = two ?? one;
  if (record === undefined || one === two) return null;
  const context = two === undefined ? old : now;
  const base = {
    graph: (after ?? before)?.id ?? "", node, title: titleOf(record, context.catalog, context.document),
    at: { ...positionOf(record), ...(savedSizeOf(record) ?? { width: 200, height: 80 }) },
  };
  if (one === undefined || two === undefined) {
    return { ...base, kind: one === undefined ? "added" : "removed", values: [], also: [] };
  }
  const values = valueChanges(old, now, before as GraphState, after as GraphState, one, two);
  const also = [
    ...(typeOf(one) === typeOf(two) ? [] : ["type" as const]),
    ...(sameJson(one.title, two.title) ? [] : ["title" as const]),
    ...(modeOf(one) === modeOf(two) ? [] : ["mode" as const]),
    ...(sameJson(sourcesOf(before as GraphState, one), sourcesOf(after as GraphState, two)) ? [] : ["links" as const]),
    ...(looksSame(one, two) ? [] : ["look" as const]),
  ];
  if (values.length + also.length > 0) return { ...base, kind: "changed", values, also };
  const isPlaced = sameJson({ ...positionOf(one) }, { ...positionOf(two) }) && sameJson(one.size, two.size);
  return isPlaced ? null : { ...base, kind: "moved", values: [], also: [] };
}

function valueChanges(
  old: WidgetContext, now: WidgetContext, before: GraphState, after: GraphState, one: NodeRecord, two: NodeRecord,
): readonly ValueChange[] {
  const values = (context: WidgetContext, graph: GraphState, node: NodeRecord) =>
    new Map(widgetsOf(context, graph, node).map((view) => [view.name, view.value]));
  const [was, is] = [values(old, before, one), values(now, after, two)];
  return [...new Set([...was.keys(), ...is.keys()])]
    .filter((name) => !sameJson(was.get(name), is.get(name)))
    .map((name) => ({ name, before: was.get(name), after: is.get(name) }));
}

/** Where the inputs come from, without the ids of links. */
function sourcesOf(graph: GraphState, node: NodeRecord): Json {
  return inputsOf(node).flatMap((input): Json[] => {
    const link = graph.links.byId.get(inputLink(input) ?? "");
    return link === undefined ? [] : [[String(input.name ?? ""), link.origin, link.originSlot]];
  });
}

function looksSame(one: NodeRecord, two: NodeRecord): boolean {
  const rest = (node: NodeRecord) => Object.fromEntries(Object.entries(node).filter(([key]) => !PLAIN.has(key)));
  const sets = (node: NodeRecord) => [node.flags ?? {}, node.properties ?? {}] as Json;
  return sameJson(rest(one), rest(two)) && sameJson(sets(one), sets(two));
}

/** Makes the document what `target` is, as one step that can be undone. */
export function restore(edit: Edit, target: WorkflowDocument): void {
  for (const id of edit.document().graphs.keys()) edit.removeGraph(id);
  for (const graph of target.graphs.values()) edit.addGraph(graph);
}
