/** Turns a part of a graph into a subgraph: a definition with inputs and outputs, and one instance in its place. */

import type { Edit } from "./edit";
import { followIn } from "./form_following";
import { takeId } from "./ids";
import { idJson, isArray, isObject, type Json, type JsonObject } from "./json";
import { mendLinks, putLink, removeLink } from "./link_edits";
import {
  groupRect, inputsOf, inputWidget, outputLinks, outputsOf, pointsOfLink, positionOf, savedSizeOf, socketName,
  typeOf, type Rect,
} from "./node_reading";
import {
  INPUT_PANEL, OUTPUT_PANEL, ROOT,
  type GraphId, type GraphState, type GroupId, type LinkRecord, type NodeId, type NodeRecord, type RerouteRecord, type Table,
} from "./records";
import { socketType } from "./socket_types";
import { freeName, moveProxies, promoteWidget, type SubgraphTools } from "./subgraph_interface";
import { panelId } from "./widgets";

/** What goes into a subgraph. */
export interface SubgraphParts {
  readonly nodes: Iterable<NodeId>;
  readonly groups?: Iterable<GroupId>;
}

/** One input or output of the new definition: the links it stands for share an output. */
interface Crossing {
  readonly name: string;
  readonly type: Json;
  readonly label: string;
  /** Whether it ends in a widget of an inner node. */
  readonly isWidget: boolean;
  readonly links: readonly LinkRecord[];
}

interface Cut {
  readonly inside: ReadonlySet<NodeId>;
  readonly inner: readonly LinkRecord[];
  readonly incoming: readonly Crossing[];
  readonly outgoing: readonly Crossing[];
}

const PANEL_GAP = 160;
const PANEL_WIDTH = 128;
const ROW = 20;
/** Wide enough for a name beside its mark; taller by itself where there is more to show. */
const INSTANCE_SIZE = [240, 46] as const;

/**
 * Moves nodes into a new definition called `name`, with one input for each output outside that feeds them and one
 * output for each of theirs that is used outside; the id of its instance, or null when there are no nodes. A value given
 * by a primitive goes in with it: a copy, where others need it too.
 */
export function makeSubgraph(
  edit: Edit, graph: GraphId, parts: SubgraphParts, name: string, tools: SubgraphTools,
): NodeId | null {
  const chosen = new Set([...parts.nodes].filter((id) => edit.get(graph, "nodes", id) !== undefined));
  if (chosen.size === 0) return null;
  mendLinks(edit, graph);
  const inside = withPrimitives(edit, graph, chosen);
  if (inside.size === 0) return null;
  const state = edit.graph(graph);
  const groups = [...(parts.groups ?? [])].filter((id) => state.groups.byId.has(id));
  const cut = cutOf(state, inside);
  const definition = definitionFor(state, cut, groups, name, tools.newId);
  edit.addGraph(definition);
  const id = takeId(edit, graph, "node");
  const sources = cut.incoming.map(({ links }) => links[0] as LinkRecord);
  for (const link of [...cut.inner, ...cut.incoming.flatMap(({ links }) => links)]) removeLink(edit, graph, link.id);
  for (const node of inside) edit.remove(graph, "nodes", node);
  for (const group of groups) edit.remove(graph, "groups", group);
  edit.put(graph, "nodes", id, instanceOf(id, definition, cut, boundsOf(state, inside)));
  cut.outgoing.forEach(({ links }, slot) => {
    for (const link of links) edit.put(graph, "links", link.id, { ...link, origin: id, originSlot: slot });
  });
  sources.forEach((source, slot) => {
    const link = takeId(edit, graph, "link");
    const { type } = cut.incoming[slot] as Crossing;
    putLink(edit, graph, { ...source, id: link, target: id, targetSlot: slot, type, parent: null, raw: null });
  });
  for (const node of inside) moveProxies(edit, graph, node, (widget) => proxyFor(edit, definition.id, id, node, widget, tools));
  followIn(edit, graph, id, inside);
  return id;
}

// ------------------------------------------------------------------ what goes in

/** Primitives that feed the inside alone go along; of those that feed both sides a copy goes in. */
function withPrimitives(edit: Edit, graph: GraphId, chosen: ReadonlySet<NodeId>): ReadonlySet<NodeId> {
  const inside = new Set(chosen);
  for (const [id, node] of edit.graph(graph).nodes.byId) {
    if (typeOf(node) !== "PrimitiveNode") continue;
    const { links } = edit.graph(graph);
    const own = [...links.byId.values()].filter((link) => link.origin === id);
    const within = own.filter((link) => chosen.has(link.target));
    if (within.length === own.length && own.length > 0) inside.add(id);
    else if (within.length === 0 && own.length > 0) inside.delete(id);
    else if (own.length > 0) {
      inside.delete(id);
      inside.add(copyOf(edit, graph, id, node, within));
    }
  }
  return inside;
}

function copyOf(edit: Edit, graph: GraphId, old: NodeId, node: NodeRecord, links: readonly LinkRecord[]): NodeId {
  const id = takeId(edit, graph, "node");
  edit.put(graph, "nodes", id, { ...node, id: idJson(id), outputs: outputsOf(node).map((item) => ({ ...item, links: [] })) });
  for (const link of links) {
    const record = edit.get(graph, "nodes", old);
    if (record !== undefined) edit.put(graph, "nodes", old, withoutOutputLink(record, link.id));
    putLink(edit, graph, { ...link, origin: id });
  }
  return id;
}

function withoutOutputLink(node: NodeRecord, link: string): NodeRecord {
  const outputs = outputsOf(node).map((item) => ({ ...item, links: outputLinks(item).filter((id) => id !== link).map(idJson) }));
  return { ...node, outputs };
}

/** Sorts the links of a graph by the wall they cross. A link from nowhere stays with its end. */
function cutOf(state: GraphState, inside: ReadonlySet<NodeId>): Cut {
  const panels = state.holder === null
    ? [] : [panelId(state, "inputNode", INPUT_PANEL), panelId(state, "outputNode", OUTPUT_PANEL)];
  const isEnd = (id: NodeId) => state.nodes.byId.has(id) || panels.includes(id);
  const inner: LinkRecord[] = [];
  const coming = new Map<string, LinkRecord[]>();
  const going = new Map<string, LinkRecord[]>();
  const put = (into: Map<string, LinkRecord[]>, link: LinkRecord) => {
    const key = `${link.origin} ${link.originSlot}`;
    into.set(key, [...(into.get(key) ?? []), link]);
  };
  for (const link of state.links.byId.values()) {
    if (inside.has(link.origin) && isEnd(link.target) && !inside.has(link.target)) put(going, link);
    else if (inside.has(link.target) && isEnd(link.origin) && !inside.has(link.origin)) put(coming, link);
    else if (inside.has(link.target) || inside.has(link.origin)) inner.push(link);
  }
  return { inside, inner, incoming: incomingOf(state, [...coming.values()]), outgoing: outgoingOf(state, [...going.values()]) };
}

function incomingOf(state: GraphState, lists: readonly (readonly LinkRecord[])[]): readonly Crossing[] {
  const taken = new Set<string>();
  return lists.map((links) => {
    const ends = links.map((link) => inputsOf(state.nodes.byId.get(link.target) as NodeRecord)[link.targetSlot] ?? {});
    const types = new Set(ends.map(socketType));
    const first = ends[0] ?? {};
    const name = freeName(typeof first.name === "string" && first.name !== "" ? first.name : "input", taken);
    const type = types.size === 1 ? (first.type ?? links[0]?.type ?? "*") : (links[0]?.type ?? "*");
    return { name, type, label: socketName(first) || name, isWidget: ends.some((end) => inputWidget(end) !== null), links };
  });
}

function outgoingOf(state: GraphState, lists: readonly (readonly LinkRecord[])[]): readonly Crossing[] {
  const taken = new Set<string>();
  return lists.map((links) => {
    const [link] = links as [LinkRecord];
    const end = outputsOf(state.nodes.byId.get(link.origin) as NodeRecord)[link.originSlot] ?? {};
    const name = freeName(typeof end.name === "string" && end.name !== "" ? end.name : "output", taken);
    return { name, type: end.type ?? link.type, label: socketName(end) || name, isWidget: false, links };
  });
}

// ------------------------------------------------------------------ the definition

function definitionFor(
  state: GraphState, cut: Cut, groups: readonly GroupId[], name: string, newId: () => string,
): GraphState {
  const id = newId();
  const bounds = boundsOf(state, cut.inside);
  const incoming = cut.incoming.flatMap(({ links }, slot) =>
    links.map((link): LinkRecord => ({ ...link, origin: INPUT_PANEL, originSlot: slot, raw: null })));
  const outgoing = cut.outgoing.map(({ links }, slot): LinkRecord =>
    ({ ...(links[0] as LinkRecord), target: OUTPUT_PANEL, targetSlot: slot, parent: null, raw: null }));
  const inner = cut.inner.map((link): LinkRecord => ({ ...link, raw: isObject(link.raw) ? link.raw : null }));
  const links = [...inner, ...incoming, ...outgoing];
  const nodes = state.nodes.ids.filter((node) => cut.inside.has(node)).map((node) =>
    withOutputs(state.nodes.byId.get(node) as NodeRecord, node, links));
  const reroutes = pointsFor(state, [...inner, ...incoming]);
  const frames = groups.map((group) => [group, state.groups.byId.get(group) as JsonObject] as const);
  const socket = ({ name: own, type, label }: Crossing, ids: readonly LinkRecord[]): JsonObject => ({
    id: newId(), name: own, type, linkIds: ids.map((link) => idJson(link.id)), ...(label === own ? {} : { label }),
  });
  const largest = (ids: readonly string[]) => Math.max(0, ...ids.map(Number).filter(Number.isSafeInteger));
  const panel = (own: NodeId, x: number, num: number): JsonObject => ({
    id: idJson(own), bounding: [Math.round(x), Math.round(bounds.y), PANEL_WIDTH, (num + 2) * ROW],
  });
  return {
    id, holder: ROOT,
    nodes: tableOf(nodes.map((node) => [String(node.id), node])),
    links: tableOf(links.map((link) => [link.id, link])),
    reroutes: tableOf(reroutes.map((point) => [String(point.id), point])),
    groups: tableOf(frames),
    odd: { nodes: [], links: [], reroutes: [], groups: [] },
    rest: {
      id, version: 1, revision: 0, config: {}, name,
      state: {
        lastGroupId: groups.length, lastNodeId: largest(nodes.map((node) => String(node.id))),
        lastLinkId: largest(links.map((link) => link.id)), lastRerouteId: largest(reroutes.map((point) => String(point.id))),
      },
      inputNode: panel(INPUT_PANEL, bounds.x - PANEL_GAP - PANEL_WIDTH, cut.incoming.length),
      outputNode: panel(OUTPUT_PANEL, bounds.x + bounds.width + PANEL_GAP, cut.outgoing.length),
      inputs: cut.incoming.map((item) => socket(item, item.links)),
      outputs: cut.outgoing.map((item) => socket(item, item.links.slice(0, 1))),
      widgets: [],
    },
  };
}

/** The outputs name the links they have inside. */
function withOutputs(node: NodeRecord, id: NodeId, links: readonly LinkRecord[]): NodeRecord {
  const here = links.filter((link) => link.origin === id);
  if (!isArray(node.outputs)) return node;
  const outputs = node.outputs.map((item, slot): Json => {
    if (!isObject(item)) return item;
    const own = here.filter((link) => link.originSlot === slot).map((link) => idJson(link.id));
    return own.length === 0 && !isArray(item.links) ? item : { ...item, links: own };
  });
  return { ...node, outputs };
}

/** The points links pass, without those of other links. */
function pointsFor(state: GraphState, links: readonly LinkRecord[]): readonly RerouteRecord[] {
  const passed = new Map<string, string[]>();
  for (const link of links) {
    for (const point of pointsOfLink(state, link.parent)) {
      passed.set(String(point.id), [...(passed.get(String(point.id)) ?? []), link.id]);
    }
  }
  return [...passed].map(([id, ids]) => ({ ...(state.reroutes.byId.get(id) as RerouteRecord), linkIds: ids.map(idJson) }));
}

function instanceOf(id: NodeId, definition: GraphState, cut: Cut, bounds: Rect): NodeRecord {
  const label = ({ name, label: text }: Crossing) => (text === name ? {} : { label: text });
  return {
    id: idJson(id), type: definition.id, pos: [bounds.x, bounds.y], size: [...INSTANCE_SIZE], flags: {}, order: 0, mode: 0,
    inputs: cut.incoming.map((item) => ({
      name: item.name, type: item.type, ...label(item), ...(item.isWidget ? { widget: { name: item.name } } : {}), link: null,
    })),
    outputs: cut.outgoing.map((item) => ({
      name: item.name, type: item.type, ...label(item), links: item.links.map((link) => idJson(link.id)),
    })),
    properties: {}, widgets_values: [],
  };
}

/** What an instance of the graph around said of an inner widget, it says of the new instance's input from now on. */
function proxyFor(
  edit: Edit, definition: GraphId, instance: NodeId, node: NodeId, widget: string, tools: SubgraphTools,
): readonly [NodeId, string] | null {
  const name = promoteWidget(edit, definition, node, widget, tools);
  return name === null ? null : [instance, name];
}

function tableOf<T>(entries: readonly (readonly [string, T])[]): Table<T> {
  return { ids: entries.map(([id]) => id), byId: new Map(entries) };
}

/** Around the bodies of nodes; the corner is that of the positions, so that unpacking finds it again. */
export function boundsOf(state: GraphState, nodes: Iterable<NodeId>): Rect {
  const boxes = [...nodes].flatMap((id) => {
    const node = state.nodes.byId.get(id);
    return node === undefined ? [] : [{ ...positionOf(node), ...(savedSizeOf(node) ?? { width: 200, height: 100 }) }];
  });
  if (boxes.length === 0) return groupRect({});
  const [x, y] = [Math.min(...boxes.map((box) => box.x)), Math.min(...boxes.map((box) => box.y))];
  return {
    x, y,
    width: Math.max(...boxes.map((box) => box.x + box.width)) - x,
    height: Math.max(...boxes.map((box) => box.y + box.height)) - y,
  };
}

