/** Workflow files, schema 0.4 and 1: load, keep everything, save either. Facts: docs/workflow-format.md. */

import { idJson, idText, isArray, isObject, sameJson, type Json, type JsonObject } from "./json";
import {
  EMPTY_TABLE, ROOT, rootOf,
  type GraphId, type GraphState, type GroupRecord, type LinkRecord, type NodeRecord, type OddEntry,
  type RerouteRecord, type Table, type WorkflowDocument,
} from "./records";

/** A file that is no workflow; `message` is a sentence for people. */
export class WorkflowFileError extends Error {}

export function isWorkflow(value: unknown): value is JsonObject {
  return isObject(value) && isArray(value.nodes);
}

export function emptyWorkflow(): WorkflowDocument {
  return loadWorkflow({ nodes: [], links: [], groups: [], extra: {}, version: 0.4 });
}

/** Reads a parsed file. Raises WorkflowFileError. */
export function loadWorkflow(value: Json): WorkflowDocument {
  if (!isWorkflow(value)) throw new WorkflowFileError("This file is no workflow: it has no list of nodes.");
  const graphs = new Map<GraphId, GraphState>();
  const waiting: { record: JsonObject; id: GraphId; holder: GraphId | null }[] = [
    { record: value, id: ROOT, holder: null },
  ];
  const seen = new Set<GraphId>([ROOT]);
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const graph = loadGraph(next.record, next.id, next.holder);
    const inner = subgraphsOf(next.record);
    const kept: Json[] = [];
    for (const item of inner) {
      if (isObject(item) && typeof item.id === "string" && item.id !== ROOT && !seen.has(item.id)) {
        seen.add(item.id);
        waiting.push({ record: item, id: item.id, holder: next.id });
        kept.push({ id: item.id });
      } else {
        kept.push(item);
      }
    }
    graphs.set(next.id, inner.length > 0 ? { ...graph, rest: withSubgraphs(graph.rest, kept) } : graph);
  }
  const version = value.version;
  return { version: version === 1 ? 1 : 0.4, graphs };
}

/** The document as JSON, in its own schema version or another. Loading it gives an equal document. */
export function saveWorkflow(document: WorkflowDocument, version: number = document.version): JsonObject {
  const record = saveGraph(document, rootOf(document), version);
  return version === document.version ? record : { ...record, version };
}

// ------------------------------------------------------------------ load

function loadGraph(record: JsonObject, id: GraphId, holder: GraphId | null): GraphState {
  for (const [key, fits] of [["links", isArray], ["groups", isArray], ["extra", isObject]] as const) {
    const found = record[key];
    if (found !== undefined && found !== null && !fits(found)) {
      throw new WorkflowFileError(`The workflow's ${key} have the wrong form.`);
    }
  }
  const { nodes, links, groups, reroutes, ...rest } = record;
  const extra = isObject(rest.extra) ? rest.extra : {};
  const parents = new Map<string, string>();
  for (const item of isArray(extra.linkExtensions) ? extra.linkExtensions : []) {
    const link = isObject(item) ? idText(item.id) : null;
    const parent = isObject(item) ? idText(item.parentId) : null;
    if (link !== null && parent !== null && !parents.has(link)) parents.set(link, parent);
  }
  const inExtra = !isArray(reroutes) && isArray(extra.reroutes);
  const points = tableOf<RerouteRecord>(inExtra ? extra.reroutes : reroutes, recordWithId);
  const loadedNodes = tableOf<NodeRecord>(nodes, recordWithId);
  const loadedLinks = tableOf<LinkRecord>(links, (raw) => linkOf(raw, parents));
  const frames = tableOf<GroupRecord>(groups, (raw, at) => (isObject(raw) ? [`g${at}`, raw as GroupRecord] : null));
  const orphans = [...parents.keys()].filter((link) => !loadedLinks.table.byId.has(link));
  return {
    id,
    holder,
    nodes: loadedNodes.table,
    links: loadedLinks.table,
    reroutes: points.table,
    groups: frames.table,
    // What a file does not have is told apart from what is empty by the keys that are left here.
    rest: {
      ...rest,
      ...(links === undefined ? { [ABSENT_LINKS]: true } : links === null ? { links: null } : {}),
      ...(groups === undefined ? { [ABSENT_GROUPS]: true } : groups === null ? { groups: null } : {}),
      ...(orphans.length > 0 ? { [ORPHANS]: orphans } : {}),
      ...(isArray(reroutes) ? { [TOP_REROUTES]: true } : reroutes === undefined ? {} : { reroutes }),
    },
    odd: { nodes: loadedNodes.odd, links: loadedLinks.odd, reroutes: points.odd, groups: frames.odd },
  };
}

/** Marks in `rest` that never reach a file. */
const ABSENT_LINKS = "\u0000no links";
const ABSENT_GROUPS = "\u0000no groups";
const TOP_REROUTES = "\u0000reroutes on top";
const ORPHANS = "\u0000extensions of links that are not there";

function tableOf<T>(
  value: Json | undefined,
  read: (raw: Json, at: number) => readonly [string, T] | null,
): { table: Table<T>; odd: readonly OddEntry[] } {
  if (!isArray(value) || value.length === 0) return { table: EMPTY_TABLE, odd: [] };
  const byId = new Map<string, T>();
  const odd: OddEntry[] = [];
  value.forEach((raw, at) => {
    const entry = read(raw, at);
    if (entry === null || byId.has(entry[0])) odd.push({ at, raw });
    else byId.set(entry[0], entry[1]);
  });
  return { table: { ids: [...byId.keys()], byId }, odd };
}

function recordWithId<T>(raw: Json): readonly [string, T] | null {
  const id = isObject(raw) ? idText(raw.id) : null;
  return id === null ? null : [id, raw as T];
}

const LINK_KEYS = ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"] as const;

function linkOf(raw: Json, parents: ReadonlyMap<string, string>): readonly [string, LinkRecord] | null {
  const parts = isArray(raw) ? raw : isObject(raw) ? LINK_KEYS.map((key) => raw[key]) : [];
  const [id, origin, target] = [idText(parts[0]), idText(parts[1]), idText(parts[3])];
  const [originSlot, targetSlot] = [slotOf(parts[2]), slotOf(parts[4])];
  if (id === null || origin === null || target === null || originSlot === null || targetSlot === null) return null;
  const own = isObject(raw) ? idText(raw.parentId) : null;
  const parent = own ?? parents.get(id) ?? null;
  return [id, { id, origin, originSlot, target, targetSlot, type: parts[5] ?? null, parent, raw }];
}

function slotOf(value: Json | undefined): number | null {
  if (typeof value === "number" && Number.isInteger(value)) return value;
  return typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : null;
}

// ------------------------------------------------------------------ save

function saveGraph(document: WorkflowDocument, graph: GraphState, version: number): JsonObject {
  const isRoot = graph.holder === null;
  // Definitions are written alike in both schemas: as the newer one spells a graph.
  const inArrays = isRoot && version !== 1;
  const keeps = !isRoot || version === document.version;
  const {
    [ABSENT_LINKS]: noLinks, [ABSENT_GROUPS]: noGroups, [TOP_REROUTES]: onTop, [ORPHANS]: _orphans, ...rest
  } = graph.rest;
  const value: Record<string, Json | undefined> = { ...rest, nodes: listOf(graph, "nodes", (node) => node) };
  if (graph.links.ids.length > 0 || graph.odd.links.length > 0 || (!noLinks && rest.links !== null)) {
    value.links = listOf(graph, "links", (link) => savedLink(link, inArrays, keeps));
  }
  if (graph.groups.ids.length > 0 || graph.odd.groups.length > 0 || (!noGroups && rest.groups !== null)) {
    value.groups = listOf(graph, "groups", (group) => group);
  }
  saveReroutes(graph, value, keeps ? onTop === true || (!inArrays && !hasRerouteExtra(rest)) : version === 1);
  saveExtensions(graph, value, inArrays);
  if (!keeps) saveCounters(value, version);
  saveDefinitions(document, graph, value, version);
  return value;
}

function listOf<K extends "nodes" | "links" | "reroutes" | "groups">(
  graph: GraphState,
  name: K,
  write: (record: never) => Json,
): Json[] {
  const table = graph[name] as Table<unknown>;
  const list = table.ids.map((id) => write(table.byId.get(id) as never));
  for (const entry of graph.odd[name]) list.splice(Math.min(entry.at, list.length), 0, entry.raw);
  return list;
}

function savedLink(link: LinkRecord, inArrays: boolean, keepsForm: boolean): Json {
  const { raw } = link;
  const old: readonly (Json | undefined)[] = isArray(raw) ? raw : isObject(raw) ? LINK_KEYS.map((key) => raw[key]) : [];
  const now = [
    idText(old[0]) === link.id ? old[0] : idJson(link.id),
    idText(old[1]) === link.origin ? old[1] : idJson(link.origin),
    slotOf(old[2]) === link.originSlot ? old[2] : link.originSlot,
    idText(old[3]) === link.target ? old[3] : idJson(link.target),
    slotOf(old[4]) === link.targetSlot ? old[4] : link.targetSlot,
  ] as Json[];
  const hasType = old[5] !== undefined || link.type !== null || raw === null;
  const asArray = raw === null || !keepsForm ? inArrays : isArray(raw);
  const more = isArray(raw) ? raw.slice(6) : isObject(raw) && isArray(raw.more) ? raw.more : [];
  if (asArray) return [...now, ...(hasType ? [link.type] : []), ...more];
  const { parentId, ...kept } = isObject(raw) ? raw : ({} as JsonObject);
  const value: Record<string, Json | undefined> = { ...kept };
  LINK_KEYS.slice(0, 5).forEach((key, i) => (value[key] = now[i]));
  if (hasType) value.type = link.type;
  if (more.length > 0) value.more = more;
  if (link.parent !== null) value.parentId = idText(parentId) === link.parent ? parentId : idJson(link.parent);
  else if (parentId !== undefined && idText(parentId) === null) value.parentId = parentId;
  return value;
}

function hasRerouteExtra(rest: JsonObject): boolean {
  return isObject(rest.extra) && isArray(rest.extra.reroutes);
}

function saveReroutes(graph: GraphState, value: Record<string, Json | undefined>, onTop: boolean): void {
  const list = listOf(graph, "reroutes", (point) => point);
  const extra = isObject(value.extra) ? value.extra : null;
  const wasExtra = extra !== null && isArray(extra.reroutes);
  const wasTop = TOP_REROUTES in graph.rest;
  if (onTop) {
    if (list.length > 0 || wasTop || wasExtra) value.reroutes = list;
    if (wasExtra && !wasTop) {
      const { reroutes: _moved, ...others } = extra;
      value.extra = others;
    }
  } else if (list.length > 0 || wasExtra) {
    value.extra = { ...extra, reroutes: list };
  }
}

/** Array links have no place for the reroute they end at: `extra.linkExtensions` has it. */
function saveExtensions(graph: GraphState, value: Record<string, Json | undefined>, inArrays: boolean): void {
  const extra = isObject(value.extra) ? value.extra : null;
  const old = extra !== null && isArray(extra.linkExtensions) ? extra.linkExtensions : null;
  const written = value.links;
  const arrays = new Set<string>();
  for (const item of isArray(written) ? written : []) if (isArray(item)) arrays.add(idText(item[0]) ?? "");
  const told = new Set<string>();
  const orphans = graph.rest[ORPHANS];
  const list: Json[] = [];
  for (const item of old ?? []) {
    const id = isObject(item) ? idText(item.id) : null;
    const link = id === null ? undefined : graph.links.byId.get(id);
    const named = isObject(item) ? idText(item.parentId) : null;
    const isOrphan = id !== null && isArray(orphans) && orphans.includes(id);
    if (id === null || named === null || told.has(id) || isOrphan) list.push(item);
    else if (link !== undefined && link.parent !== null && arrays.has(id)) {
      told.add(id);
      list.push(link.parent === named ? item : { ...(item as JsonObject), parentId: idJson(link.parent) });
    } else if (link !== undefined && !arrays.has(id) && sameJson(idText((link.raw as JsonObject)?.parentId), named)) {
      list.push(item);
    }
  }
  for (const link of graph.links.byId.values()) {
    if (link.parent !== null && arrays.has(link.id) && !told.has(link.id)) {
      list.push({ id: idJson(link.id), parentId: idJson(link.parent) });
    }
  }
  if (list.length > 0 || (old !== null && (inArrays || old.length === 0))) {
    value.extra = { ...extra, linkExtensions: list };
  } else if (old !== null) {
    const { linkExtensions: _gone, ...others } = extra as JsonObject;
    value.extra = others;
  }
}

const COUNTERS = [["last_node_id", "lastNodeId"], ["last_link_id", "lastLinkId"]] as const;

function saveCounters(value: Record<string, Json | undefined>, version: number): void {
  const state: Record<string, Json | undefined> = isObject(value.state) ? { ...value.state } : {};
  for (const [plain, inState] of COUNTERS) {
    if (version === 1 && plain in value && !(inState in state)) {
      state[inState] = value[plain];
      delete value[plain];
    } else if (version !== 1 && inState in state && !(plain in value)) {
      value[plain] = state[inState];
      delete state[inState];
    }
  }
  if (Object.keys(state).length > 0) value.state = state;
  else delete value.state;
}

// ------------------------------------------------------------------ subgraph definitions

function subgraphsOf(record: JsonObject): readonly Json[] {
  const holder = record.definitions;
  return isObject(holder) && isArray(holder.subgraphs) ? holder.subgraphs : [];
}

function withSubgraphs(rest: JsonObject, subgraphs: readonly Json[]): JsonObject {
  return { ...rest, definitions: { ...(rest.definitions as JsonObject), subgraphs } };
}

/** In memory `definitions.subgraphs` holds {id} where a graph of the document belongs; new graphs follow. */
function saveDefinitions(
  document: WorkflowDocument, graph: GraphState, value: Record<string, Json | undefined>, version: number,
): void {
  const inside = new Set<GraphId>();
  for (const other of document.graphs.values()) if (other.holder === graph.id) inside.add(other.id);
  const old = subgraphsOf(value);
  if (inside.size === 0 && old.length === 0) return;
  const list: Json[] = [];
  const save = (id: GraphId) => {
    inside.delete(id);
    list.push(saveGraph(document, document.graphs.get(id) as GraphState, version));
  };
  for (const item of old) {
    const keys = isObject(item) ? Object.keys(item) : [];
    if (isObject(item) && keys.length === 1 && typeof item.id === "string") {
      if (inside.has(item.id)) save(item.id);
      else if (document.graphs.has(item.id)) list.push(item);
    } else list.push(item);
  }
  for (const id of inside) save(id);
  value.definitions = { ...(isObject(value.definitions) ? value.definitions : {}), subgraphs: list };
}
