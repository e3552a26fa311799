/** Commands on nodes: add, remove, move, size, title, colour, mode, flags, widget values. */

import { visibleInputs, type Catalog, type FileLister, type NodeSpec } from "./catalog";
import type { Edit } from "./edit";
import { takeId } from "./ids";
import { idJson, isArray, isObject, type Json, type JsonObject } from "./json";
import { connect, removeLink } from "./link_edits";
import {
  flagOf, inputLink, inputsOf, inputWidget, outputLinks, outputsOf, positionOf, typeOf, type Point,
} from "./node_reading";
import { MODE, type GraphId, type GraphState, type NodeId, type NodeRecord } from "./records";
import { socketType, typesFit } from "./socket_types";
import { freshValues, hasWidget, planOf } from "./widget_plan";
import { definitionSockets, valuesWith, valuesWithControl, widgetsOf, type WidgetContext } from "./widgets";

/** A node of a known type, or an instance of a definition of the document; null for a type nobody knows. */
export function addNode(
  edit: Edit, graph: GraphId, type: string, at: Point, catalog: Catalog, listFiles: FileLister,
): NodeId | null {
  const record = freshNode(edit, type, catalog, listFiles);
  if (record === null) return null;
  const id = takeId(edit, graph, "node");
  edit.put(graph, "nodes", id, { ...record, id: idJson(id), pos: [Math.round(at.x), Math.round(at.y)] });
  return id;
}

function freshNode(edit: Edit, type: string, catalog: Catalog, listFiles: FileLister): JsonObject | null {
  const spec = catalog.get(type);
  const basic = { type, flags: {}, order: 0, mode: MODE.always };
  if (spec !== undefined) return { ...basic, ...freshSockets(spec, listFiles) };
  if (type !== "" && edit.hasGraph(type)) return { ...basic, ...instanceSockets(edit.graph(type)) };
  if (type === "Note" || type === "MarkdownNote") {
    return { ...basic, size: [210, 88], inputs: [], outputs: [], properties: {}, widgets_values: [""] };
  }
  if (type === "PrimitiveNode") {
    const outputs = [{ name: "connect to widget input", type: "*", links: null }];
    return { ...basic, inputs: [], outputs, properties: { "Run widget replace on values": false } };
  }
  return null;
}

function freshSockets(spec: NodeSpec, listFiles: FileLister): JsonObject {
  const sockets: JsonObject[] = [];
  const widgets: JsonObject[] = [];
  for (const item of visibleInputs(spec)) {
    const shape = item.presence === "optional" ? { shape: 7 } : {};
    if (!hasWidget(item) || item.options.forceInput) {
      sockets.push({ name: item.name, ...shape, type: item.type, link: null });
    } else {
      widgets.push({ name: item.name, ...shape, type: item.type, widget: { name: item.name }, link: null });
    }
  }
  return {
    inputs: [...sockets, ...widgets],
    outputs: spec.outputs.map((item) => ({
      name: item.name, type: item.type, ...(item.is_list ? { shape: 6 } : {}), links: null,
    })),
    properties: { "Node name for S&R": spec.name },
    widgets_values: freshValues(planOf(spec), listFiles),
  };
}

function instanceSockets(definition: GraphState): JsonObject {
  const plain = (item: JsonObject) => ({
    name: item.name ?? "", type: item.type ?? "*", ...(item.label === undefined ? {} : { label: item.label }),
  });
  return {
    inputs: definitionSockets(definition, "inputs").map((item) => ({ ...plain(item), link: null })),
    outputs: definitionSockets(definition, "outputs").map((item) => ({ ...plain(item), links: null })),
    properties: {},
    widgets_values: [],
  };
}

/** Takes nodes away with their links. */
export function removeNodes(edit: Edit, graph: GraphId, ids: Iterable<NodeId>): void {
  const gone = new Set(ids);
  for (const link of edit.graph(graph).links.byId.values()) {
    if (gone.has(link.origin) || gone.has(link.target)) removeLink(edit, graph, link.id);
  }
  for (const id of gone) edit.remove(graph, "nodes", id);
}

/** Takes nodes away and joins what they were between: each output's links go to the first input that fits. */
export function dissolveNodes(edit: Edit, graph: GraphId, ids: Iterable<NodeId>): void {
  for (const id of ids) {
    const node = edit.get(graph, "nodes", id);
    if (node === undefined) continue;
    const joins: (readonly [string, string])[] = [];
    for (const output of outputsOf(node)) {
      const source = inputsOf(node).find(
        (input) => inputLink(input) !== null && typesFit(socketType(input), socketType(output)),
      );
      const incoming = inputLink(source);
      if (incoming !== null) joins.push(...outputLinks(output).map((outgoing) => [incoming, outgoing] as const));
    }
    const ends = joins.map(([incoming, outgoing]) =>
      [edit.get(graph, "links", incoming), edit.get(graph, "links", outgoing)] as const);
    removeNodes(edit, graph, [id]);
    for (const [from, to] of ends) {
      if (from === undefined || to === undefined) continue;
      connect(
        edit, graph, { node: from.origin, slot: from.originSlot }, { node: to.target, slot: to.targetSlot },
      );
    }
  }
}

export function moveNodes(edit: Edit, graph: GraphId, places: ReadonlyMap<NodeId, Point>): void {
  for (const [id, at] of places) {
    change(edit, graph, id, (node) => {
      const old = positionOf(node);
      return old.x === at.x && old.y === at.y ? node : { ...node, pos: [at.x, at.y] };
    });
  }
}

export function resizeNode(edit: Edit, graph: GraphId, id: NodeId, width: number, height: number): void {
  change(edit, graph, id, (node) => ({ ...node, size: [width, height] }));
}

/** Back to the type's own title with an empty text. */
export function setTitle(edit: Edit, graph: GraphId, id: NodeId, title: string): void {
  change(edit, graph, id, (node) => (title === "" ? without(node, "title") : { ...node, title }));
}

/** null takes the colours away. */
export function setColor(edit: Edit, graph: GraphId, id: NodeId, color: string | null, background: string | null): void {
  change(edit, graph, id, (node) => {
    const bare = without(without(node, "color"), "bgcolor");
    return { ...bare, ...(color === null ? {} : { color }), ...(background === null ? {} : { bgcolor: background }) };
  });
}

/** Sets the mode of nodes; where all have it already, back to "always". */
export function toggleMode(edit: Edit, graph: GraphId, ids: Iterable<NodeId>, mode: number): void {
  const list = [...ids];
  const all = list.every((id) => edit.get(graph, "nodes", id)?.mode === mode);
  for (const id of list) change(edit, graph, id, (node) => ({ ...node, mode: all ? MODE.always : mode }));
}

/** Sets a flag ("collapsed", "pinned") of nodes; where all have it already, takes it away. */
export function toggleFlag(edit: Edit, graph: GraphId, ids: Iterable<NodeId>, flag: string): void {
  const list = [...ids];
  const all = list.every((id) => flagOf(edit.get(graph, "nodes", id) ?? { id }, flag));
  for (const id of list) {
    change(edit, graph, id, (node) => {
      const flags: Record<string, Json | undefined> = { ...(isObject(node.flags) ? node.flags : {}) };
      if (all) delete flags[flag];
      else flags[flag] = true;
      return { ...node, flags };
    });
  }
}

export function bringToFront(edit: Edit, graph: GraphId, id: NodeId): void {
  const node = edit.get(graph, "nodes", id);
  if (node === undefined || edit.graph(graph).nodes.ids.at(-1) === id) return;
  edit.remove(graph, "nodes", id);
  edit.put(graph, "nodes", id, node);
}

export function setProperty(edit: Edit, graph: GraphId, id: NodeId, name: string, value: Json | undefined): void {
  change(edit, graph, id, (node) => {
    const properties: Record<string, Json | undefined> = { ...(isObject(node.properties) ? node.properties : {}) };
    if (value === undefined) delete properties[name];
    else properties[name] = value;
    return { ...node, properties };
  });
}

// ------------------------------------------------------------------ widgets

export function setWidget(
  edit: Edit, graph: GraphId, id: NodeId, name: string, value: Json, catalog: Catalog, listFiles: FileLister,
): void {
  const context: WidgetContext = { document: edit.document(), catalog, listFiles };
  change(edit, graph, id, (node) => {
    const views = widgetsOf(context, edit.graph(graph), node);
    return { ...node, widgets_values: valuesWith(context, node, views, name, value) };
  });
}

export function setControl(
  edit: Edit, graph: GraphId, id: NodeId, name: string, control: string, catalog: Catalog, listFiles: FileLister,
): void {
  const context: WidgetContext = { document: edit.document(), catalog, listFiles };
  change(edit, graph, id, (node) => {
    const values = valuesWithControl(context, node, name, control);
    return values === undefined ? node : { ...node, widgets_values: values };
  });
}

/** The socket of a widget, made where the file lists none; its position, or null when there is no such widget. */
export function widgetSocket(edit: Edit, graph: GraphId, id: NodeId, name: string, catalog: Catalog): number | null {
  const node = edit.get(graph, "nodes", id);
  if (node === undefined) return null;
  const inputs = inputsOf(node);
  const found = inputs.findIndex((input) => inputWidget(input) === name);
  if (found >= 0) return found;
  const item = catalog.get(typeOf(node))?.inputs.find((input) => input.name === name);
  if (item === undefined) return null;
  const added = { name, type: item.type, widget: { name }, link: null };
  edit.put(graph, "nodes", id, { ...node, inputs: [...(isArray(node.inputs) ? node.inputs : []), added] });
  return inputs.length;
}

function change(edit: Edit, graph: GraphId, id: NodeId, make: (node: NodeRecord) => JsonObject): void {
  const node = edit.get(graph, "nodes", id);
  if (node !== undefined) edit.put(graph, "nodes", id, make(node) as NodeRecord);
}

function without(record: JsonObject, key: string): JsonObject {
  const { [key]: _gone, ...rest } = record;
  return rest;
}
