/** Commands on what a subgraph shows to the outside: its inputs and outputs, their names and order. All instances follow. */

import type { Catalog, FileLister } from "./catalog";
import type { Edit } from "./edit";
import { idText, isArray, isObject, type Json, type JsonObject } from "./json";
import { putLink, removeLink } from "./link_edits";
import { setProperty, widgetSocket } from "./node_edits";
import { inputLink, inputsOf, inputWidget, outputLinks, outputsOf, propertiesOf, typeOf } from "./node_reading";
import { INPUT_PANEL, OUTPUT_PANEL, type GraphId, type NodeId, type NodeRecord } from "./records";
import { takeId } from "./ids";
import { definitionSockets, panelId, promotedInputs, widgetsOf } from "./widgets";

export type Side = "inputs" | "outputs";

/** What commands on subgraphs need to know; `newId` gives ids no document has. */
export interface SubgraphTools {
  readonly catalog: Catalog;
  readonly listFiles: FileLister;
  readonly newId: () => string;
}

interface Instance {
  readonly graph: GraphId;
  readonly id: NodeId;
}

/** The nodes that stand for a definition, in all graphs. */
export function instancesOf(edit: Edit, definition: GraphId): readonly Instance[] {
  return [...edit.document().graphs.values()].flatMap((graph) =>
    [...graph.nodes.byId].flatMap(([id, node]) => (typeOf(node) === definition ? [{ graph: graph.id, id }] : [])));
}

/** `name`, or `name_2` and so on where it is taken; it is taken from then on. */
export function freeName(name: string, taken: Set<string>): string {
  let free = name;
  for (let i = 2; taken.has(free); i++) free = `${name}_${i}`;
  taken.add(free);
  return free;
}

function namesOf(edit: Edit, definition: GraphId, side: Side): Set<string> {
  return new Set(definitionSockets(edit.graph(definition), side).map((item) => String(item.name ?? "")));
}

// ------------------------------------------------------------------ more sockets

/** Makes a free input of an inner node an input of the subgraph; its name, or null where there is no such input. */
export function promoteInput(edit: Edit, definition: GraphId, node: NodeId, slot: number, tools: SubgraphTools): string | null {
  const record = edit.get(definition, "nodes", node);
  const input = record === undefined ? undefined : inputsOf(record)[slot];
  if (input === undefined || inputLink(input) !== null) return null;
  const name = freeName(String(input.name ?? "input"), namesOf(edit, definition, "inputs"));
  const isWidget = inputWidget(input) !== null;
  const type = input.type ?? "*";
  const at = append(edit, definition, "inputs", { id: tools.newId(), name, type, linkIds: [] });
  putLink(edit, definition, {
    id: takeId(edit, definition, "link"), origin: panelId(edit.graph(definition), "inputNode", INPUT_PANEL), originSlot: at,
    target: node, targetSlot: slot, type, parent: null, raw: null,
  });
  for (const { graph, id } of instancesOf(edit, definition)) {
    const instance = edit.get(graph, "nodes", id) as NodeRecord;
    const added = { name, type, ...(isWidget ? { widget: { name } } : {}), link: null };
    edit.put(graph, "nodes", id, { ...instance, inputs: [...inputsOf(instance), added] });
    const proxies = propertiesOf(instance).proxyWidgets;
    // An instance that lists its widgets shows those and no others.
    if (isWidget && isArray(proxies) && proxies.length > 0) setProperty(edit, graph, id, "proxyWidgets", [...proxies, ["-1", name]]);
  }
  return name;
}

/** The same for a widget of an inner node, by name. */
export function promoteWidget(edit: Edit, definition: GraphId, node: NodeId, widget: string, tools: SubgraphTools): string | null {
  const slot = widgetSocket(edit, definition, node, widget, tools.catalog);
  return slot === null ? null : promoteInput(edit, definition, node, slot, tools);
}

/** Makes an output of an inner node an output of the subgraph; its name, or null where there is no such output. */
export function promoteOutput(edit: Edit, definition: GraphId, node: NodeId, slot: number, tools: SubgraphTools): string | null {
  const record = edit.get(definition, "nodes", node);
  const output = record === undefined ? undefined : outputsOf(record)[slot];
  if (output === undefined) return null;
  const name = freeName(String(output.name ?? "output"), namesOf(edit, definition, "outputs"));
  const type = output.type ?? "*";
  const at = append(edit, definition, "outputs", { id: tools.newId(), name, type, linkIds: [] });
  putLink(edit, definition, {
    id: takeId(edit, definition, "link"), origin: node, originSlot: slot,
    target: panelId(edit.graph(definition), "outputNode", OUTPUT_PANEL), targetSlot: at, type, parent: null, raw: null,
  });
  for (const { graph, id } of instancesOf(edit, definition)) {
    const instance = edit.get(graph, "nodes", id) as NodeRecord;
    edit.put(graph, "nodes", id, { ...instance, outputs: [...outputsOf(instance), { name, type, links: [] }] });
  }
  return name;
}

function append(edit: Edit, definition: GraphId, side: Side, item: JsonObject): number {
  const list = edit.graph(definition).rest[side];
  const old = isArray(list) ? list : [];
  edit.setRest(definition, side, [...old, item]);
  return old.length;
}

// ------------------------------------------------------------------ names and order

/** What an input or output is called; back to its own name with an empty text. Its identity stays. */
export function labelSocket(edit: Edit, definition: GraphId, side: Side, at: number, label: string): void {
  const list = edit.graph(definition).rest[side];
  const item = definitionSockets(edit.graph(definition), side)[at];
  if (!isArray(list) || item === undefined) return;
  const labelled = (one: JsonObject): JsonObject => {
    const { label: _old, ...rest } = one;
    return label === "" ? rest : { ...rest, label };
  };
  edit.setRest(definition, side, list.map((one, i) => (i === at && isObject(one) ? labelled(one) : one)));
  for (const { graph, id } of instancesOf(edit, definition)) {
    const node = edit.get(graph, "nodes", id) as NodeRecord;
    const sockets = side === "inputs" ? inputsOf(node) : outputsOf(node);
    const own = side === "inputs" ? sockets.findIndex((one) => one.name === item.name) : at;
    edit.put(graph, "nodes", id, { ...node, [side]: sockets.map((one, i) => (i === own ? labelled(one) : one)) });
  }
}

export function moveSocket(edit: Edit, definition: GraphId, side: Side, from: number, to: number, tools: SubgraphTools): void {
  const order = definitionSockets(edit.graph(definition), side).map((_item, i) => i);
  if (order[from] === undefined || order[to] === undefined) return;
  reorder(edit, definition, side, order.toSpliced(from, 1).toSpliced(to, 0, from), tools);
}

/** Takes an input or output away with its links, inside and outside. */
export function removeSocket(edit: Edit, definition: GraphId, side: Side, at: number, tools: SubgraphTools): void {
  const order = definitionSockets(edit.graph(definition), side).map((_item, i) => i);
  if (order[at] !== undefined) reorder(edit, definition, side, order.toSpliced(at, 1), tools);
}

/** `order` are the old positions of what is kept, as they come now. */
function reorder(edit: Edit, definition: GraphId, side: Side, order: readonly number[], tools: SubgraphTools): void {
  const instances = instancesOf(edit, definition);
  const values = instances.map((instance) => valuesBefore(edit, instance, definition, tools));
  const names = definitionSockets(edit.graph(definition), side).map((item) => item.name);
  const state = edit.graph(definition);
  const panel = side === "inputs" ? panelId(state, "inputNode", INPUT_PANEL) : panelId(state, "outputNode", OUTPUT_PANEL);
  const [end, slot] = side === "inputs" ? (["origin", "originSlot"] as const) : (["target", "targetSlot"] as const);
  const own = [...state.links.byId.values()].filter((link) => link[end] === panel);
  for (const link of own) if (!order.includes(link[slot])) removeLink(edit, definition, link.id);
  const list = edit.graph(definition).rest[side];
  edit.setRest(definition, side, order.map((at) => (isArray(list) ? (list[at] ?? {}) : {})));
  for (const link of own) {
    const to = order.indexOf(link[slot]);
    const now = edit.get(definition, "links", link.id);
    if (now !== undefined && to !== link[slot]) edit.put(definition, "links", link.id, { ...now, [slot]: to });
  }
  for (const instance of instances) {
    if (side === "inputs") reorderInputs(edit, instance, names, order);
    else reorderOutputs(edit, instance, names.length, order);
  }
  if (side === "inputs") instances.forEach((instance, i) => putValues(edit, instance, definition, values[i] ?? null));
}

function reorderInputs(edit: Edit, { graph, id }: Instance, names: readonly (Json | undefined)[], order: readonly number[]): void {
  const before = inputsOf(edit.get(graph, "nodes", id) as NodeRecord);
  const kept = order.map((at) => before.findIndex((input) => input.name === names[at])).filter((at) => at >= 0);
  const others = before.flatMap((input, i) => (names.includes(input.name) ? [] : [i]));
  const places = [...kept, ...others];
  before.forEach((input, i) => {
    const link = inputLink(input);
    if (!places.includes(i) && link !== null) removeLink(edit, graph, link);
  });
  const node = edit.get(graph, "nodes", id) as NodeRecord;
  const inputs = places.map((at) => inputsOf(node)[at] as JsonObject);
  edit.put(graph, "nodes", id, { ...node, inputs });
  inputs.forEach((input, slot) => {
    const link = edit.get(graph, "links", inputLink(input) ?? "");
    if (link !== undefined && link.target === id) edit.put(graph, "links", link.id, { ...link, targetSlot: slot });
  });
}

function reorderOutputs(edit: Edit, { graph, id }: Instance, num: number, order: readonly number[]): void {
  const before = outputsOf(edit.get(graph, "nodes", id) as NodeRecord);
  const places = [...order.filter((at) => at < before.length), ...before.flatMap((_output, i) => (i >= num ? [i] : []))];
  before.forEach((output, i) => {
    if (!places.includes(i)) for (const link of outputLinks(output)) removeLink(edit, graph, link);
  });
  const node = edit.get(graph, "nodes", id) as NodeRecord;
  const outputs = places.map((at) => outputsOf(node)[at] as JsonObject);
  edit.put(graph, "nodes", id, { ...node, outputs });
  outputs.forEach((output, slot) => {
    for (const own of outputLinks(output)) {
      const link = edit.get(graph, "links", own);
      if (link !== undefined && link.origin === id) edit.put(graph, "links", own, { ...link, originSlot: slot });
    }
  });
}

// ------------------------------------------------------------------ values of instances

/** The values an instance gives, by input name; null where it gives none by their order. */
function valuesBefore(edit: Edit, { graph, id }: Instance, definition: GraphId, tools: SubgraphTools): ReadonlyMap<string, Json> | null {
  const node = edit.get(graph, "nodes", id) as NodeRecord;
  const { widgets_values: values } = node;
  if (!isArray(values) || values.length === 0 || typeOf(node) !== definition) return null;
  const context = { document: edit.document(), catalog: tools.catalog, listFiles: tools.listFiles };
  return new Map(widgetsOf(context, edit.graph(graph), node).map((view) => [view.name, view.value ?? null]));
}

function putValues(edit: Edit, { graph, id }: Instance, definition: GraphId, values: ReadonlyMap<string, Json> | null): void {
  const node = edit.get(graph, "nodes", id) as NodeRecord;
  const state = edit.graph(definition);
  const names = definitionSockets(state, "inputs").map((item) => String(item.name ?? ""));
  const proxies = propertiesOf(node).proxyWidgets;
  if (isArray(proxies) && proxies.length > 0) {
    const kept = proxies.flatMap((proxy, i) => {
      const isGone = isArray(proxy) && idText(proxy[0]) === "-1" && !names.includes(String(proxy[1]));
      return isGone ? [] : [i];
    });
    if (kept.length === proxies.length) return;
    setProperty(edit, graph, id, "proxyWidgets", kept.map((i) => proxies[i] as Json));
    const old = isArray(node.widgets_values) ? node.widgets_values : [];
    const now = edit.get(graph, "nodes", id) as NodeRecord;
    edit.put(graph, "nodes", id, { ...now, widgets_values: kept.filter((i) => i < old.length).map((i) => old[i] as Json) });
  } else if (values !== null) {
    const list = [...promotedInputs(state).keys()].map((at) => values.get(names[at] ?? "") ?? null);
    edit.put(graph, "nodes", id, { ...node, widgets_values: list });
  }
}

/** Instances of `graph` that give a value to a widget of `node` give it to what `to` says; null leaves it. */
export function moveProxies(
  edit: Edit, graph: GraphId, node: NodeId, to: (widget: string) => readonly [NodeId, string] | null,
): void {
  if (edit.graph(graph).holder === null) return;
  for (const instance of instancesOf(edit, graph)) {
    const record = edit.get(instance.graph, "nodes", instance.id) as NodeRecord;
    const proxies = propertiesOf(record).proxyWidgets;
    if (!isArray(proxies) || !proxies.some((proxy) => isArray(proxy) && idText(proxy[0]) === node)) continue;
    setProperty(edit, instance.graph, instance.id, "proxyWidgets", proxies.map((proxy): Json => {
      const next = isArray(proxy) && idText(proxy[0]) === node && typeof proxy[1] === "string" ? to(proxy[1]) : null;
      return next === null ? proxy : [next[0], next[1]];
    }));
  }
}
