/** Commands on links and reroute points. All keep both ends of a link, panels and points in agreement. */

import type { Edit } from "./edit";
import { idJson, idText, isArray, isObject, type Json, type JsonObject } from "./json";
import { inputLink, inputsOf, outputLinks, outputsOf, pointsOfLink, type Point } from "./node_reading";
import {
  INPUT_PANEL, OUTPUT_PANEL,
  type GraphId, type LinkId, type LinkRecord, type NodeId, type RerouteId, type RerouteRecord,
} from "./records";
import { linkType, socketType, typesFit } from "./socket_types";
import { takeId } from "./ids";
import { definitionSockets, panelId } from "./widgets";

/** One end of a link: a node, or a panel of a subgraph, and the position of its socket. */
export interface SocketPlace {
  readonly node: NodeId;
  readonly slot: number;
}

export type Refusal = "no such socket" | "same node" | "types differ" | "cycle";

/** Why a link from an output to an input cannot be made; null when it can. */
export function whyNot(edit: Edit, graph: GraphId, from: SocketPlace, to: SocketPlace): Refusal | null {
  const given = outputTypeAt(edit, graph, from);
  const wanted = inputTypeAt(edit, graph, to);
  if (given === null || wanted === null) return "no such socket";
  if (from.node === to.node) return "same node";
  if (!typesFit(given, wanted)) return "types differ";
  return reaches(edit, graph, to.node, from.node) ? "cycle" : null;
}

/** Makes a link, in place of the one that ended at the input; its id, or null where `whyNot` has a reason. */
export function connect(edit: Edit, graph: GraphId, from: SocketPlace, to: SocketPlace): LinkId | null {
  if (whyNot(edit, graph, from, to) !== null) return null;
  const old = linkInto(edit, graph, to);
  if (old !== null) {
    const link = edit.get(graph, "links", old);
    if (link?.origin === from.node && link.originSlot === from.slot) return old;
    removeLink(edit, graph, old);
  }
  const id = takeId(edit, graph, "link");
  const type = linkType(outputTypeAt(edit, graph, from) ?? "*", inputTypeAt(edit, graph, to) ?? "*");
  putLink(edit, graph, {
    id, origin: from.node, originSlot: from.slot, target: to.node, targetSlot: to.slot, type, parent: null, raw: null,
  });
  return id;
}

/** Puts a link as it is and writes it into the sockets at its ends; for those who know that it fits. */
export function putLink(edit: Edit, graph: GraphId, link: LinkRecord): void {
  edit.put(graph, "links", link.id, link);
  attach(edit, graph, link.id, true);
}

/** Files may name another end of a link than the input that has it: the input is believed, as it is when a graph runs. */
export function mendLinks(edit: Edit, graph: GraphId): void {
  for (const [id, node] of edit.graph(graph).nodes.byId) {
    inputsOf(node).forEach((input, slot) => {
      const link = edit.get(graph, "links", inputLink(input) ?? "");
      if (link === undefined || (link.target === id && link.targetSlot === slot)) return;
      const named = edit.get(graph, "nodes", link.target);
      const isWhole = named !== undefined && inputLink(inputsOf(named)[link.targetSlot]) === link.id;
      if (!isWhole) edit.put(graph, "links", link.id, { ...link, target: id, targetSlot: slot });
    });
  }
}

/** Takes a link away, and the reroute points that no link passes any more. */
export function removeLink(edit: Edit, graph: GraphId, id: LinkId): void {
  const link = edit.get(graph, "links", id);
  if (link === undefined) return;
  attach(edit, graph, id, false);
  const points = pointsOfLink(edit.graph(graph), link.parent);
  edit.remove(graph, "links", id);
  for (const point of [...points].reverse()) {
    const key = String(point.id);
    const left = linkIdsOf(point).filter((item) => item !== id);
    const isPassed = left.length > 0 || [...edit.graph(graph).reroutes.byId.values()].some(
      (other) => idText(other.parentId) === key,
    );
    if (isPassed || point.floating !== undefined) {
      edit.put(graph, "reroutes", key, { ...point, linkIds: left.map(idJson) });
    } else edit.remove(graph, "reroutes", key);
  }
}

export function disconnectInput(edit: Edit, graph: GraphId, to: SocketPlace): void {
  const link = linkInto(edit, graph, to);
  if (link !== null) removeLink(edit, graph, link);
}

/** Puts a node between the ends of a link, through the first input and output that fit; false where none do. */
export function insertOnLink(edit: Edit, graph: GraphId, id: LinkId, node: NodeId): boolean {
  const link = edit.get(graph, "links", id);
  const record = edit.get(graph, "nodes", node);
  if (link === undefined || record === undefined || link.origin === node || link.target === node) return false;
  const from = { node: link.origin, slot: link.originSlot };
  const to = { node: link.target, slot: link.targetSlot };
  const given = outputTypeAt(edit, graph, from) ?? "*";
  const wanted = inputTypeAt(edit, graph, to) ?? "*";
  const input = inputsOf(record).findIndex((item) => inputLink(item) === null && typesFit(given, socketType(item)));
  const output = outputsOf(record).findIndex((item) => typesFit(socketType(item), wanted));
  if (input < 0 || output < 0) return false;
  removeLink(edit, graph, id);
  connect(edit, graph, from, { node, slot: input });
  return connect(edit, graph, { node, slot: output }, to) !== null;
}

// ------------------------------------------------------------------ reroute points

/** A point on a link, before the point at `index` of those it has (at the end by default). */
export function addReroute(edit: Edit, graph: GraphId, linkId: LinkId, at: Point, index?: number): RerouteId | null {
  const link = edit.get(graph, "links", linkId);
  if (link === undefined) return null;
  const points = pointsOfLink(edit.graph(graph), link.parent);
  const place = Math.min(index ?? points.length, points.length);
  const next = points[place];
  const before = place === 0 ? null : points[place - 1];
  const id = takeId(edit, graph, "reroute");
  edit.put(graph, "reroutes", id, {
    id: idJson(id),
    ...(before ? { parentId: before.id } : {}),
    pos: [Math.round(at.x), Math.round(at.y)],
    linkIds: next === undefined ? [idJson(linkId)] : linkIdsOf(next).map(idJson),
  });
  if (next === undefined) edit.put(graph, "links", linkId, { ...link, parent: id });
  else edit.put(graph, "reroutes", String(next.id), { ...next, parentId: idJson(id) });
  return id;
}

export function moveReroute(edit: Edit, graph: GraphId, id: RerouteId, to: Point): void {
  const point = edit.get(graph, "reroutes", id);
  if (point !== undefined) edit.put(graph, "reroutes", id, { ...point, pos: [Math.round(to.x), Math.round(to.y)] });
}

/** Takes a point away; the links go on without it. */
export function removeReroute(edit: Edit, graph: GraphId, id: RerouteId): void {
  const point = edit.get(graph, "reroutes", id);
  if (point === undefined) return;
  const parent = idText(point.parentId);
  const state = edit.graph(graph);
  for (const [key, other] of state.reroutes.byId) {
    if (idText(other.parentId) !== id) continue;
    const { parentId: _gone, ...rest } = other;
    const moved = parent === null ? rest : { ...rest, parentId: idJson(parent) };
    edit.put(graph, "reroutes", key, moved as RerouteRecord);
  }
  for (const link of state.links.byId.values()) {
    if (link.parent === id) edit.put(graph, "links", link.id, { ...link, parent });
  }
  edit.remove(graph, "reroutes", id);
}

function linkIdsOf(point: RerouteRecord): string[] {
  return isArray(point.linkIds) ? point.linkIds.map(idText).filter((id): id is string => id !== null) : [];
}

// ------------------------------------------------------------------ ends of links

/** The type of an output, or of an input of the subgraph seen from inside; null when there is none. */
export function outputTypeAt(edit: Edit, graph: GraphId, place: SocketPlace): string | null {
  const node = edit.get(graph, "nodes", place.node);
  const state = edit.graph(graph);
  const list = node !== undefined
    ? outputsOf(node)
    : isPanel(edit, graph, place.node, "inputNode") ? definitionSockets(state, "inputs") : [];
  const item = list[place.slot];
  return item === undefined ? null : socketType(item);
}

/** The type of an input, or of an output of the subgraph seen from inside; null when there is none. */
export function inputTypeAt(edit: Edit, graph: GraphId, place: SocketPlace): string | null {
  const node = edit.get(graph, "nodes", place.node);
  const state = edit.graph(graph);
  const list = node !== undefined
    ? inputsOf(node)
    : isPanel(edit, graph, place.node, "outputNode") ? definitionSockets(state, "outputs") : [];
  const item = list[place.slot];
  return item === undefined ? null : socketType(item);
}

function isPanel(edit: Edit, graph: GraphId, node: NodeId, key: "inputNode" | "outputNode"): boolean {
  const state = edit.graph(graph);
  return state.holder !== null && panelId(state, key, key === "inputNode" ? INPUT_PANEL : OUTPUT_PANEL) === node;
}

function linkInto(edit: Edit, graph: GraphId, to: SocketPlace): LinkId | null {
  const node = edit.get(graph, "nodes", to.node);
  if (node !== undefined) {
    const id = inputLink(inputsOf(node)[to.slot]);
    return id !== null && edit.get(graph, "links", id) !== undefined ? id : null;
  }
  for (const link of edit.graph(graph).links.byId.values()) {
    if (link.target === to.node && link.targetSlot === to.slot) return link.id;
  }
  return null;
}

/** Whether values of `start` flow into `end`. */
function reaches(edit: Edit, graph: GraphId, start: NodeId, end: NodeId): boolean {
  const { links } = edit.graph(graph);
  const next = new Map<NodeId, NodeId[]>();
  for (const link of links.byId.values()) {
    const list = next.get(link.origin);
    if (list === undefined) next.set(link.origin, [link.target]);
    else list.push(link.target);
  }
  const waiting = [start];
  const seen = new Set<NodeId>();
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (node === end) return true;
    if (seen.has(node)) continue;
    seen.add(node);
    waiting.push(...(next.get(node) ?? []));
  }
  return false;
}

/** Write a link into the sockets at its ends, or take it out of them. */
function attach(edit: Edit, graph: GraphId, id: LinkId, isThere: boolean): void {
  const link = edit.get(graph, "links", id) as LinkRecord;
  const origin = edit.get(graph, "nodes", link.origin);
  if (origin !== undefined) {
    edit.put(graph, "nodes", link.origin, {
      ...origin,
      outputs: changedAt(origin.outputs, link.originSlot, (output) => {
        const others = outputLinks(output).filter((item) => item !== id);
        return { ...output, links: (isThere ? [...others, id] : others).map(idJson) };
      }),
    });
  } else attachToPanel(edit, graph, "inputs", link.originSlot, id, isThere);
  const target = edit.get(graph, "nodes", link.target);
  if (target !== undefined) {
    edit.put(graph, "nodes", link.target, {
      ...target,
      inputs: changedAt(target.inputs, link.targetSlot, (input) =>
        isThere || inputLink(input) === id ? { ...input, link: isThere ? idJson(id) : null } : input,
      ),
    });
  } else attachToPanel(edit, graph, "outputs", link.targetSlot, id, isThere);
}

function attachToPanel(
  edit: Edit, graph: GraphId, key: "inputs" | "outputs", slot: number, id: LinkId, isThere: boolean,
): void {
  const list = edit.graph(graph).rest[key];
  if (!isArray(list)) return;
  edit.setRest(graph, key, changedAt(list, slot, (item) => {
    const others = (isArray(item.linkIds) ? item.linkIds : []).filter((each) => idText(each) !== id);
    return { ...item, linkIds: isThere ? [...others, idJson(id)] : others };
  }));
}

function changedAt(list: Json | undefined, slot: number, change: (item: JsonObject) => JsonObject): Json {
  if (!isArray(list)) return list ?? [];
  return list.map((item, i) => (i === slot && isObject(item) ? change(item) : item));
}
