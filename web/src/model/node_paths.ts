/** Nodes by their path: "12", or "5:12" inside of what the instance 5 stands for. */

import type { Catalog } from "./catalog";
import { titleOf } from "./node_reading";
import { inOrder } from "./outline";
import { rootOf, type GraphState, type NodeId, type NodeRecord, type WorkflowDocument } from "./records";
import { definitionOf } from "./widgets";

export interface NodePlace {
  readonly path: string;
  readonly graph: GraphState;
  readonly id: NodeId;
  readonly record: NodeRecord;
  /** The instance right around it; null in the graph of the file. */
  readonly holder: NodeRecord | null;
}

/** Instances in instances multiply: of files made to be too large, the rest is left out. */
const MAX_PLACES = 5000;

/** null where there is no such node. */
export function placeOf(document: WorkflowDocument, path: string): NodePlace | null {
  let graph: GraphState | undefined = rootOf(document);
  let holder: NodeRecord | null = null;
  const ids = path.split(":");
  for (const [i, id] of ids.entries()) {
    const record: NodeRecord | undefined = graph?.nodes.byId.get(id);
    if (graph === undefined || record === undefined) return null;
    if (i === ids.length - 1) return { path, graph, id, record, holder };
    graph = insideOf(document, record);
    holder = record;
  }
  return null;
}

/** Every node of the file, as they run; the nodes of an instance after it. */
export function placesOf(document: WorkflowDocument): readonly NodePlace[] {
  const found: NodePlace[] = [];
  const walk = (graph: GraphState, before: string, holder: NodeRecord | null, around: readonly GraphState[]) => {
    for (const id of inOrder(graph)) {
      if (found.length >= MAX_PLACES) return;
      const record = graph.nodes.byId.get(id) as NodeRecord;
      const path = before + id;
      found.push({ path, graph, id, record, holder });
      const inner = insideOf(document, record);
      if (inner !== undefined && inner !== graph && !around.includes(inner)) walk(inner, `${path}:`, record, [...around, graph]);
    }
  };
  walk(rootOf(document), "", null, []);
  return found;
}

/** The graph an instance stands for; undefined for other nodes. */
export function insideOf(document: WorkflowDocument, record: NodeRecord): GraphState | undefined {
  const inner = definitionOf(document, record);
  return inner === null ? undefined : document.graphs.get(inner);
}

/** The titles of the nodes a path leads through, from the outside in. */
export function titlesOn(document: WorkflowDocument, catalog: Catalog, path: string): readonly string[] {
  const ids = path.split(":");
  return ids.flatMap((_id, i) => {
    const place = placeOf(document, ids.slice(0, i + 1).join(":"));
    return place === null ? [] : [titleOf(place.record, catalog, document)];
  });
}
