/** Puts the inside of a subgraph in the place of an instance of it. */

import type { Edit } from "./edit";
import { followOut } from "./form_following";
import { addGroup } from "./group_edits";
import { takeId } from "./ids";
import { idJson, idText, isArray, isObject, type Json } from "./json";
import { mendLinks, putLink, removeLink } from "./link_edits";
import { setWidget } from "./node_edits";
import {
  groupRect, inputLink, inputsOf, inputWidget, modeOf, outputsOf, pointsOfLink, positionOf, propertiesOf, typeOf,
} from "./node_reading";
import {
  INPUT_PANEL, MODE, OUTPUT_PANEL, ROOT,
  type GraphId, type GraphState, type LinkRecord, type NodeId, type NodeRecord, type RerouteId,
} from "./records";
import { selectionOf, type Selection } from "./selection";
import { instancesOf, moveProxies, type SubgraphTools } from "./subgraph_interface";
import { boundsOf } from "./subgraph_making";
import { definitionSockets, panelId, promotedInputs } from "./widgets";

/** What an unpacking works with: the graphs as they were before, and the new ids of what comes out. */
interface Unpacking {
  readonly edit: Edit;
  readonly graph: GraphId;
  readonly outer: GraphState;
  readonly inner: GraphState;
  readonly instance: NodeRecord;
  readonly nodes: Map<NodeId, NodeId>;
  readonly points: Map<RerouteId, RerouteId>;
  readonly dx: number;
  readonly dy: number;
}

/**
 * Replaces the instance `id` by copies of what its definition holds, with its values; ids are kept where they are free.
 * The definition goes when nothing stands for it any more. What came out, for selecting it; null for other nodes.
 */
export function unpackSubgraph(
  edit: Edit, graph: GraphId, id: NodeId, tools: Pick<SubgraphTools, "catalog" | "listFiles">,
): Selection | null {
  const instance = edit.get(graph, "nodes", id);
  const type = instance === undefined ? "" : typeOf(instance);
  if (instance === undefined || type === ROOT || type === graph || !edit.hasGraph(type)) return null;
  for (const each of [graph, type]) mendLinks(edit, each);
  const outer = edit.graph(graph);
  const inner = edit.graph(type);
  const corner = boundsOf(inner, inner.nodes.ids);
  const at = positionOf(instance);
  const work: Unpacking = {
    edit, graph, outer, inner, instance, nodes: new Map(), points: new Map(), dx: at.x - corner.x, dy: at.y - corner.y,
  };
  edit.remove(graph, "nodes", id);
  putNodes(work);
  putPoints(work);
  const groups = putGroups(work);
  putInnerLinks(work);
  putIncoming(work);
  putOutgoing(work, id);
  countLinks(work);
  putValues(work, tools);
  const insideOf = (name: string): readonly [NodeId, string] | null => {
    const found = promotedInputs(inner).get(definitionSockets(inner, "inputs").findIndex((item) => item.name === name));
    const node = work.nodes.get(found?.node ?? "");
    return found === undefined || node === undefined ? null : [node, found.widget];
  };
  moveProxies(edit, graph, id, insideOf);
  followOut(edit, graph, id, instance, work.nodes, insideOf);
  if (instancesOf(edit, inner.id).length === 0) dropDefinition(edit, inner);
  return selectionOf({ nodes: work.nodes.values(), groups, reroutes: work.points.values() });
}

// ------------------------------------------------------------------ records

function putNodes({ edit, graph, inner, instance, nodes, dx, dy }: Unpacking): void {
  const mode = modeOf(instance);
  for (const old of inner.nodes.ids) {
    const id = edit.get(graph, "nodes", old) === undefined && isFreeId(edit, graph, old) ? old : takeId(edit, graph, "node");
    const node = inner.nodes.byId.get(old) as NodeRecord;
    const { x, y } = positionOf(node);
    nodes.set(old, id);
    edit.put(graph, "nodes", id, {
      ...node, id: idJson(id), pos: [x + dx, y + dy], ...(mode === MODE.always ? {} : { mode }),
      ...(isArray(node.inputs) ? { inputs: inputsOf(node).map((input) => ({ ...input, link: null })) } : {}),
      ...(isArray(node.outputs) ? { outputs: outputsOf(node).map((output) => ({ ...output, links: [] })) } : {}),
    });
  }
}

/** Ids of panels belong to them. */
function isFreeId(edit: Edit, graph: GraphId, id: NodeId): boolean {
  const state = edit.graph(graph);
  return state.holder === null || (id !== panelId(state, "inputNode", INPUT_PANEL) && id !== panelId(state, "outputNode", OUTPUT_PANEL));
}

function putPoints({ edit, graph, inner, points, dx, dy }: Unpacking): void {
  for (const old of inner.reroutes.ids) {
    const id = edit.get(graph, "reroutes", old) === undefined ? old : takeId(edit, graph, "reroute");
    points.set(old, id);
    edit.put(graph, "reroutes", id, { id: idJson(id) });
  }
  for (const [old, record] of inner.reroutes.byId) {
    const id = points.get(old) as RerouteId;
    const parent = points.get(idText(record.parentId) ?? "");
    const { x, y } = positionOf(record);
    const { parentId: _old, ...rest } = record;
    edit.put(graph, "reroutes", id, {
      ...rest, id: idJson(id), pos: [x + dx, y + dy], ...(parent === undefined ? {} : { parentId: idJson(parent) }),
    });
  }
}

function putGroups({ edit, graph, inner, dx, dy }: Unpacking): readonly string[] {
  return [...inner.groups.byId.values()].map((group) => {
    const { x, y, width, height } = groupRect(group);
    const id = addGroup(edit, graph, "", { x: x + dx, y: y + dy, width, height });
    const made = edit.get(graph, "groups", id);
    edit.put(graph, "groups", id, { ...group, id: made?.id ?? null, bounding: made?.bounding ?? null });
    return id;
  });
}

// ------------------------------------------------------------------ links

function panels({ inner }: Unpacking): readonly [NodeId, NodeId] {
  return [panelId(inner, "inputNode", INPUT_PANEL), panelId(inner, "outputNode", OUTPUT_PANEL)];
}

function pointOf({ points }: Unpacking, old: RerouteId | null): RerouteId | null {
  return old === null ? null : (points.get(old) ?? null);
}

function linkId({ edit, graph }: Unpacking, old: string): string {
  return edit.get(graph, "links", old) === undefined ? old : takeId(edit, graph, "link");
}

function putInnerLinks(work: Unpacking): void {
  const [from, to] = panels(work);
  for (const link of work.inner.links.byId.values()) {
    if (link.origin === from || link.target === to) continue;
    const [origin, target] = [work.nodes.get(link.origin), work.nodes.get(link.target)];
    if (origin === undefined || target === undefined) continue;
    const parent = pointOf(work, link.parent);
    putLink(work.edit, work.graph, { ...link, id: linkId(work, link.id), origin, target, parent, raw: null });
  }
}

/** The link that comes to an input of the subgraph from outside. */
function outsideLink({ inner, outer, instance }: Unpacking, slot: number): LinkRecord | undefined {
  const name = definitionSockets(inner, "inputs")[slot]?.name;
  const input = inputsOf(instance).find((item) => item.name === name);
  return outer.links.byId.get(inputLink(input) ?? "");
}

function putIncoming(work: Unpacking): void {
  const { edit, graph, inner } = work;
  const [from, to] = panels(work);
  const gone = new Set<string>();
  for (const link of inner.links.byId.values()) {
    if (link.origin !== from) continue;
    const source = outsideLink(work, link.originSlot);
    const target = work.nodes.get(link.target);
    if (source !== undefined) gone.add(source.id);
    if (source === undefined || target === undefined || link.target === to) continue;
    putLink(edit, graph, {
      ...link, id: linkId(work, link.id), origin: source.origin, originSlot: source.originSlot, target,
      parent: joined(work, source.parent, pointOf(work, link.parent)), raw: null,
    });
  }
  for (const input of inputsOf(work.instance)) gone.add(inputLink(input) ?? "");
  countLinks(work);
  for (const id of gone) removeLink(edit, graph, id);
}

function putOutgoing(work: Unpacking, instance: NodeId): void {
  const { edit, graph, inner, outer } = work;
  const [from, to] = panels(work);
  for (const link of outer.links.byId.values()) {
    if (link.origin !== instance || edit.get(graph, "links", link.id) === undefined) continue;
    const below = [...inner.links.byId.values()].find((item) => item.target === to && item.targetSlot === link.originSlot);
    // Straight through from an input: what comes to it from outside goes on.
    const around = below?.origin === from ? outsideLink(work, below.originSlot) : undefined;
    const origin = below === undefined ? undefined : (around?.origin ?? work.nodes.get(below.origin));
    if (below === undefined || origin === undefined) {
      removeLink(edit, graph, link.id);
      continue;
    }
    const start = joined(work, around?.parent ?? null, pointOf(work, below.parent));
    putLink(edit, graph, {
      ...link, origin, originSlot: around?.originSlot ?? below.originSlot, parent: joined(work, start, link.parent),
    });
  }
}

/** One way out of two: the points of the first, then those of the second. */
function joined({ edit, graph }: Unpacking, first: RerouteId | null, second: RerouteId | null): RerouteId | null {
  if (first === null || second === null) return second ?? first;
  const [start] = pointsOfLink(edit.graph(graph), second);
  if (start === undefined) return first;
  const id = String(start.id);
  if (id !== first && !pointsOfLink(edit.graph(graph), first).some((point) => String(point.id) === id)) {
    edit.put(graph, "reroutes", id, { ...start, parentId: idJson(first) });
  }
  return second;
}

/** Every point names the links that pass it. */
function countLinks({ edit, graph }: Unpacking): void {
  const state = edit.graph(graph);
  if (state.reroutes.ids.length === 0) return;
  const passed = new Map<string, Json[]>();
  for (const link of state.links.byId.values()) {
    for (const point of pointsOfLink(state, link.parent)) {
      passed.set(String(point.id), [...(passed.get(String(point.id)) ?? []), idJson(link.id)]);
    }
  }
  for (const [id, ids] of passed) {
    const point = edit.get(graph, "reroutes", id);
    if (point !== undefined) edit.put(graph, "reroutes", id, { ...point, linkIds: ids });
  }
}

// ------------------------------------------------------------------ values

/** What the instance says goes into the nodes that came out, where no link decides. */
function putValues(work: Unpacking, tools: Pick<SubgraphTools, "catalog" | "listFiles">): void {
  const { edit, graph, inner, instance, nodes } = work;
  const set = (node: NodeId, widget: string, value: Json) => {
    const id = nodes.get(node);
    if (id !== undefined) setWidget(edit, graph, id, widget, value, tools.catalog, tools.listFiles);
  };
  const names = definitionSockets(inner, "inputs").map((item) => String(item.name ?? ""));
  const setInput = (at: number, value: Json) => {
    const input = inputsOf(instance).find((item) => item.name === names[at]);
    if (inputLink(input) !== null) return;
    const [panel] = panels(work);
    for (const link of inner.links.byId.values()) {
      if (link.origin !== panel || link.originSlot !== at) continue;
      const end = inner.nodes.byId.get(link.target);
      const widget = end === undefined ? null : inputWidget(inputsOf(end)[link.targetSlot] ?? {});
      if (widget !== null) set(link.target, widget, value);
    }
  };
  const promoted = [...promotedInputs(inner).keys()];
  const { widgets_values: values } = instance;
  const proxies = propertiesOf(instance).proxyWidgets;
  if (isObject(values)) {
    for (const at of promoted) {
      const value = values[names[at] ?? ""];
      if (value !== undefined) setInput(at, value);
    }
  } else if (isArray(values) && isArray(proxies) && proxies.length > 0) {
    values.slice(0, proxies.length).forEach((value, i) => {
      const proxy = proxies[i];
      const node = isArray(proxy) ? idText(proxy[0]) : null;
      if (!isArray(proxy) || typeof proxy[1] !== "string" || node === null) return;
      if (node === "-1") setInput(names.indexOf(proxy[1]), value);
      else set(node, proxy[1], value);
    });
  } else if (isArray(values)) {
    promoted.forEach((at, i) => values[i] !== undefined && setInput(at, values[i] as Json));
  }
}

function dropDefinition(edit: Edit, definition: GraphState): void {
  const held = [...edit.document().graphs.values()].filter((graph) => graph.holder === definition.id);
  edit.removeGraph(definition.id);
  for (const graph of held) {
    edit.removeGraph(graph.id);
    edit.addGraph({ ...graph, holder: definition.holder });
  }
}
