/** Copying and pasting parts of a graph, as JSON text: nodes, the links among them, points, groups, definitions. */

import type { Edit } from "./edit";
import { takeId } from "./ids";
import { idJson, idText, isArray, isObject, sameJson, type Json, type JsonObject } from "./json";
import { addGroup } from "./group_edits";
import { groupRect, inputLink, inputsOf, outputsOf, pointsOfLink, positionOf, typeOf, type Point } from "./node_reading";
import { ROOT, type GraphId, type GraphState, type LinkRecord, type NodeId, type NodeRecord, type WorkflowDocument } from "./records";
import { selectionOf, type Selection } from "./selection";
import { connect } from "./link_edits";
import { isWorkflow, loadWorkflow, saveWorkflow } from "./workflow_file";

const MARK = "atelier/clipboard";

/** The selected part as a workflow of its own: it can be pasted, or saved and opened like any file. */
export function copied(document: WorkflowDocument, graph: GraphId, selection: Selection): JsonObject {
  const state = document.graphs.get(graph);
  if (state === undefined) return { [MARK]: 1, nodes: [], links: [], groups: [], version: 1 };
  const links = [...state.links.byId.values()].filter(
    (link) => selection.nodes.has(link.origin) && selection.nodes.has(link.target),
  );
  const kept = new Set(links.map((link) => link.id));
  const nodes = state.nodes.ids.filter((id) => selection.nodes.has(id)).map((id) => {
    const node = state.nodes.byId.get(id) as NodeRecord;
    return {
      ...node,
      inputs: inputsOf(node).map((input) => (kept.has(inputLink(input) ?? "") ? input : { ...input, link: null })),
      outputs: outputsOf(node).map((output) => ({
        ...output, links: (isArray(output.links) ? output.links : []).filter((id) => kept.has(idText(id) ?? "")),
      })),
    };
  });
  const points = new Map<string, Json>();
  for (const link of links) for (const point of pointsOfLink(state, link.parent)) points.set(String(point.id), point);
  const whole = saveWorkflow(document, 1);
  return {
    [MARK]: 1,
    version: 1,
    nodes: nodes as unknown as Json,
    links: links.map((link) => ({
      id: idJson(link.id), origin_id: idJson(link.origin), origin_slot: link.originSlot,
      target_id: idJson(link.target), target_slot: link.targetSlot, type: link.type,
      ...(link.parent === null ? {} : { parentId: idJson(link.parent) }),
    })),
    reroutes: [...points.values()],
    groups: [...selection.groups].flatMap((id): Json[] => {
      const group = state.groups.byId.get(id);
      return group === undefined ? [] : [group];
    }),
    ...(nodes.some((node) => document.graphs.has(typeOf(node))) && whole.definitions !== undefined
      ? { definitions: whole.definitions } : {}),
  };
}

/** Whether JSON from a clipboard can be pasted. */
export function isPasteable(value: Json): boolean {
  return isWorkflow(value);
}

/**
 * Puts a copied part in so that its top left corner is at `at`; what was pasted, for selecting it. Subgraphs the document
 * has already are shared; one that is another under the same id gets an id of `newId`, where there is one.
 */
export function paste(edit: Edit, graph: GraphId, value: Json, at: Point, newId?: () => string): Selection {
  const part = withOwnSubgraphs(edit, loadWorkflow(value), newId);
  const root = part.graphs.get(ROOT);
  if (root === undefined) return selectionOf({});
  for (const [id, definition] of part.graphs) {
    if (id !== ROOT && !edit.hasGraph(id)) edit.addGraph({ ...definition, holder: ROOT });
  }
  const corners = [
    ...[...root.nodes.byId.values()].map(positionOf), ...[...root.groups.byId.values()].map(groupRect),
  ];
  const dx = Math.round(at.x - Math.min(...corners.map((corner) => corner.x)));
  const dy = Math.round(at.y - Math.min(...corners.map((corner) => corner.y)));
  const ids = new Map<NodeId, NodeId>();
  for (const [old, node] of root.nodes.byId) {
    const id = takeId(edit, graph, "node");
    ids.set(old, id);
    const { x, y } = positionOf(node);
    edit.put(graph, "nodes", id, {
      ...node,
      id: idJson(id),
      pos: [x + dx, y + dy],
      inputs: inputsOf(node).map((input) => ({ ...input, link: null })),
      outputs: outputsOf(node).map((output) => ({ ...output, links: [] })),
    });
  }
  const groups = [...root.groups.byId.values()].map((group) => {
    const { x, y, width, height } = groupRect(group);
    const id = addGroup(edit, graph, "", { x: x + dx, y: y + dy, width, height });
    const made = edit.get(graph, "groups", id);
    edit.put(graph, "groups", id, { ...group, id: made?.id ?? null, bounding: made?.bounding ?? null });
    return id;
  });
  const points = pastePoints(edit, graph, root.reroutes.byId, dx, dy);
  for (const link of root.links.byId.values()) pasteLink(edit, graph, link, ids, points);
  dropIdlePoints(edit, graph, points);
  return selectionOf({ nodes: ids.values(), groups });
}

/** The part with other ids for the subgraphs that differ from those the document has under theirs. */
function withOwnSubgraphs(edit: Edit, part: WorkflowDocument, newId?: () => string): WorkflowDocument {
  const both = [...part.graphs.keys()].filter((id) => id !== ROOT && edit.hasGraph(id));
  if (newId === undefined || both.length === 0) return part;
  const [here, there] = [definitionsOf(edit.document()), definitionsOf(part)];
  const ids = new Map(both.filter((id) => !sameJson(here.get(id), there.get(id))).map((id) => [id, newId()]));
  if (ids.size === 0) return part;
  const graphs = [...part.graphs.values()].map((graph): GraphState => ({
    ...graph,
    id: ids.get(graph.id) ?? graph.id,
    holder: graph.holder === null ? null : (ids.get(graph.holder) ?? graph.holder),
    rest: ids.has(graph.id) ? { ...graph.rest, id: ids.get(graph.id) ?? graph.id } : graph.rest,
    nodes: {
      ids: graph.nodes.ids,
      byId: new Map([...graph.nodes.byId].map(([id, node]) => [id, { ...node, type: ids.get(typeOf(node)) ?? node.type ?? "" }])),
    },
  }));
  return { version: part.version, graphs: new Map(graphs.map((graph) => [graph.id, graph])) };
}

function definitionsOf(document: WorkflowDocument): ReadonlyMap<string, Json> {
  const { definitions } = saveWorkflow(document, 1);
  const list = isObject(definitions) && isArray(definitions.subgraphs) ? definitions.subgraphs : [];
  return new Map(list.flatMap((item) => (isObject(item) && typeof item.id === "string" ? [[item.id, item] as const] : [])));
}

function pastePoints(
  edit: Edit, graph: GraphId, records: ReadonlyMap<string, JsonObject>, dx: number, dy: number,
): ReadonlyMap<string, string> {
  const points = new Map<string, string>();
  for (const old of records.keys()) {
    const id = takeId(edit, graph, "reroute");
    points.set(old, id);
    edit.put(graph, "reroutes", id, { id: idJson(id) });
  }
  for (const [old, record] of records) {
    const id = points.get(old) as string;
    const parent = points.get(idText(record.parentId) ?? "");
    const { x, y } = positionOf(record);
    edit.put(graph, "reroutes", id, {
      ...record, id: idJson(id), pos: [x + dx, y + dy], linkIds: [],
      ...(record.parentId === undefined ? {} : { parentId: parent === undefined ? undefined : idJson(parent) }),
    });
  }
  return points;
}

function pasteLink(
  edit: Edit, graph: GraphId, link: LinkRecord, ids: ReadonlyMap<NodeId, NodeId>, points: ReadonlyMap<string, string>,
): void {
  const [origin, target] = [ids.get(link.origin), ids.get(link.target)];
  if (origin === undefined || target === undefined) return;
  const id = connect(edit, graph, { node: origin, slot: link.originSlot }, { node: target, slot: link.targetSlot });
  const parent = points.get(link.parent ?? "");
  const made = id === null ? undefined : edit.get(graph, "links", id);
  if (made === undefined || parent === undefined) return;
  edit.put(graph, "links", made.id, { ...made, parent });
  for (const point of pointsOfLink(edit.graph(graph), parent)) {
    const linkIds = [...(isArray(point.linkIds) ? point.linkIds : []), idJson(made.id)];
    edit.put(graph, "reroutes", String(point.id), { ...point, linkIds });
  }
}

function dropIdlePoints(edit: Edit, graph: GraphId, points: ReadonlyMap<string, string>): void {
  for (const id of points.values()) {
    const linkIds = edit.get(graph, "reroutes", id)?.linkIds;
    if (isArray(linkIds) && linkIds.length === 0) edit.remove(graph, "reroutes", id);
  }
}

/** Whether parsed text of a clipboard came from here: other workflows ask before they are pasted. */
export function isOwnClipboard(value: Json): boolean {
  return isObject(value) && value[MARK] === 1;
}
