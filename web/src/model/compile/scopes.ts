/** A workflow opened up for compilation: every graph indexed once, subgraph and group instances unfolded into scopes. */

import { idText, isArray, isObject, type Json, type JsonObject } from "../json";
import { inputLink, inputsOf, typeOf } from "../node_reading";
import { INPUT_PANEL, MODE, OUTPUT_PANEL, type LinkId, type NodeId, type NodeRecord } from "../records";
import { groupGraph, groupName } from "./group_nodes";

const MAX_NODES = 100_000;
const MAX_NESTING = 64;

/** A document that contradicts itself; `code` as the server has it, `node` the path id where known. */
export class CompileError extends Error {
  readonly code: string;
  readonly node: string | null;

  constructor(code: string, message: string, node: string | null = null) {
    super(message);
    this.code = code;
    this.node = node;
  }
}

/** A link from output `slot` of node `origin`; "-10" is the input panel of a subgraph. */
export interface EditorLink {
  readonly origin: NodeId;
  readonly slot: number;
}

export interface GraphIndex {
  readonly nodes: ReadonlyMap<NodeId, NodeRecord>;
  readonly links: ReadonlyMap<LinkId, EditorLink>;
  readonly inputNames: readonly string[];
  /** Output of the definition → the link that feeds it. */
  readonly panelLinks: ReadonlyMap<number, LinkId>;
  /** The definition inputs that stand for inner widgets, in order. */
  readonly promoted: readonly number[];
}

/** One unfolded graph: the root, or the inside of one instance. */
export interface Scope {
  readonly index: GraphIndex;
  /** Goes before node ids: "85:". */
  readonly prefix: string;
  readonly parent: Scope | null;
  readonly instance: NodeRecord | null;
  readonly definitions: readonly string[];
  /** The instance's values of promoted inputs by position. */
  readonly values: Map<number, Json>;
  /** Values an instance gives to inner widgets, by `overrideKey`. */
  readonly overrides: Map<string, Json>;
  readonly children: Map<NodeId, Scope>;
}

export function overrideKey(node: NodeId, widget: string): string {
  return `${node} ${widget}`;
}

/** The outer link of definition input `position`, matched to the instance's inputs by name. */
export function instanceLink(scope: Scope, position: number): LinkId | null {
  const name = scope.index.inputNames[position];
  if (scope.instance === null || name === undefined) return null;
  const item = inputsOf(scope.instance).find((input) => input.name === name);
  return inputLink(item);
}

/** All scopes, the root first, each followed by those of its instances. Raises CompileError. */
export function unfold(document: JsonObject, numEntries: (node: JsonObject) => number): readonly Scope[] {
  const definitions = definitionsOf(document);
  const groups = groupsOf(document);
  const indexes = new Map<string, GraphIndex>();
  const root: Scope = {
    index: indexOf(document), prefix: "", parent: null, instance: null, definitions: [],
    values: new Map(), overrides: new Map(), children: new Map(),
  };
  const scopes: Scope[] = [];
  const waiting = [root];
  let numNodes = root.index.nodes.size;
  for (let scope = waiting.pop(); scope !== undefined; scope = waiting.pop()) {
    scopes.push(scope);
    const opened: Scope[] = [];
    for (const [id, node] of scope.index.nodes) {
      const type = typeOf(node);
      if (node.mode === MODE.muted || node.mode === MODE.bypassed) continue;
      const definition = definitions.get(type);
      const group = groups.get(groupName(type) ?? "");
      let child: Scope;
      if (definition !== undefined) {
        let index = indexes.get(type);
        if (index === undefined) indexes.set(type, (index = indexOf(definition)));
        child = open(scope, id, node, type, index);
      } else if (group !== undefined && groupName(type) !== null) {
        const [record, instance] = groupGraph(group, node, numEntries);
        child = open(scope, id, instance as NodeRecord, type, indexOf(record));
      } else continue;
      numNodes += child.index.nodes.size;
      if (numNodes > MAX_NODES) {
        throw new CompileError("graph_too_large", `The workflow unfolds into more than ${MAX_NODES} nodes.`);
      }
      opened.push(child);
    }
    waiting.push(...opened.reverse());
  }
  return scopes;
}

function open(scope: Scope, id: NodeId, node: NodeRecord, type: string, index: GraphIndex): Scope {
  const path = scope.prefix + id;
  if (scope.definitions.includes(type)) {
    throw new CompileError("subgraph_cycle", `The subgraph of node ${path} contains itself.`, path);
  }
  if (scope.definitions.length >= MAX_NESTING) {
    throw new CompileError("subgraph_cycle", `Subgraphs nest deeper than ${MAX_NESTING} levels.`, path);
  }
  const child: Scope = {
    index, prefix: `${path}:`, parent: scope, instance: node, definitions: [...scope.definitions, type],
    values: new Map(), overrides: new Map(), children: new Map(),
  };
  readInstanceValues(scope, child, id);
  scope.children.set(id, child);
  return child;
}

/** Which inner widgets the instance sets: one value per promoted input, or one per entry of `proxyWidgets`. */
function readInstanceValues(scope: Scope, child: Scope, id: NodeId): void {
  const instance = child.instance as NodeRecord;
  const values = instance.widgets_values;
  const proxies = isObject(instance.properties) ? instance.properties.proxyWidgets : undefined;
  const { inputNames: names, promoted } = child.index;
  if (isObject(values)) {
    for (const position of promoted) {
      const value = values[names[position] ?? ""];
      if (value !== undefined) child.values.set(position, value);
    }
  } else if (isArray(values) && isArray(proxies) && proxies.length > 0) {
    values.slice(0, proxies.length).forEach((value, i) => applyProxy(child, proxies[i], value));
  } else if (isArray(values)) {
    promoted.forEach((position, i) => i < values.length && child.values.set(position, values[i] as Json));
  }
  for (const position of promoted) {
    const given = scope.overrides.get(overrideKey(id, names[position] ?? ""));
    if (given !== undefined) child.values.set(position, given);
  }
}

function applyProxy(child: Scope, proxy: Json | undefined, value: Json): void {
  if (!isArray(proxy) || typeof proxy[1] !== "string") return;
  const inner = idText(proxy[0]);
  if (inner === "-1") {
    const position = child.index.inputNames.indexOf(proxy[1]);
    if (position >= 0) child.values.set(position, value);
  } else if (inner !== null) child.overrides.set(overrideKey(inner, proxy[1]), value);
}

// ------------------------------------------------------------------ indexing

function indexOf(record: JsonObject): GraphIndex {
  const nodes = new Map<NodeId, NodeRecord>();
  for (const node of isArray(record.nodes) ? record.nodes : []) {
    if (!isObject(node)) continue;
    const id = idText(node.id);
    if (id === null) throw new CompileError("bad_workflow", "A node of the workflow has no id.");
    if (nodes.has(id)) throw new CompileError("duplicate_node_id", `Two nodes of one graph have the id ${id}.`, id);
    nodes.set(id, node as NodeRecord);
  }
  const inputPanel = panelId(record.inputNode, INPUT_PANEL);
  const outputPanel = panelId(record.outputNode, OUTPUT_PANEL);
  const links = new Map<LinkId, EditorLink>();
  const panelLinks = new Map<number, LinkId>();
  const fed = new Map<LinkId, number>();
  for (const link of isArray(record.links) ? record.links : []) {
    const parts = isArray(link) && link.length >= 5 ? link : isObject(link) ? LINK_KEYS.map((key) => link[key]) : [];
    const [id, origin, slot] = [idText(parts[0]), idText(parts[1]), slotOf(parts[2])];
    if (id === null || origin === null || slot === null) continue;
    if (origin === inputPanel) fed.set(id, slot);
    links.set(id, { origin: origin === inputPanel ? INPUT_PANEL : origin, slot });
    const targetSlot = slotOf(parts[4]);
    if (idText(parts[3]) === outputPanel && targetSlot !== null && !panelLinks.has(targetSlot)) {
      panelLinks.set(targetSlot, id);
    }
  }
  const promoted = new Set<number>();
  for (const node of fed.size > 0 ? nodes.values() : []) {
    for (const input of inputsOf(node)) {
      const slot = input.widget ? fed.get(inputLink(input) ?? "") : undefined;
      if (slot !== undefined) promoted.add(slot);
    }
  }
  const inputNames = (isArray(record.inputs) ? record.inputs : []).map((item) =>
    isObject(item) && typeof item.name === "string" ? item.name : "",
  );
  return { nodes, links, inputNames, panelLinks, promoted: [...promoted].sort((a, b) => a - b) };
}

const LINK_KEYS = ["id", "origin_id", "origin_slot", "target_id", "target_slot"] as const;

function panelId(panel: Json | undefined, fallback: NodeId): NodeId {
  return (isObject(panel) ? idText(panel.id) : null) ?? fallback;
}

function slotOf(value: Json | undefined): number | null {
  if (typeof value === "number" && Number.isInteger(value)) return value;
  return typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : null;
}

/** Subgraph definitions by id; also those kept inside other definitions. */
function definitionsOf(document: JsonObject): ReadonlyMap<string, JsonObject> {
  const found = new Map<string, JsonObject>();
  const waiting: JsonObject[] = [document];
  for (let record = waiting.pop(); record !== undefined; record = waiting.pop()) {
    const holder = record.definitions;
    for (const item of isObject(holder) && isArray(holder.subgraphs) ? holder.subgraphs : []) {
      if (isObject(item) && typeof item.id === "string" && !found.has(item.id)) {
        found.set(item.id, item);
        waiting.push(item);
      }
    }
  }
  return found;
}

function groupsOf(document: JsonObject): ReadonlyMap<string, JsonObject> {
  const groups = isObject(document.extra) ? document.extra.groupNodes : undefined;
  const entries = isObject(groups) ? Object.entries(groups) : [];
  return new Map(entries.filter((entry): entry is [string, JsonObject] => isObject(entry[1])));
}
