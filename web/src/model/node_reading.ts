/** Reads node records of unknown quality: positions, sockets, flags, titles. Never throws. */

import type { Catalog } from "./catalog";
import { idText, isArray, isObject, type Json, type JsonObject } from "./json";
import {
  EDITOR_TYPES, type GraphState, type GroupRecord, type InputRecord, type LinkId, type NodeRecord,
  type OutputRecord, type RerouteRecord, type WorkflowDocument,
} from "./records";

export interface Point {
  readonly x: number;
  readonly y: number;
}
export interface Rect extends Point {
  readonly width: number;
  readonly height: number;
}

export function typeOf(node: NodeRecord): string {
  return typeof node.type === "string" ? node.type : "";
}

export function modeOf(node: NodeRecord): number {
  return typeof node.mode === "number" ? node.mode : 0;
}

/** Top left corner of the node's body; the title bar is above it. */
export function positionOf(node: { readonly pos?: Json }): Point {
  const [x, y] = pair(node.pos);
  return { x: x ?? 0, y: y ?? 0 };
}

/** The saved size of the body; null where the file has none. */
export function savedSizeOf(node: NodeRecord): { width: number; height: number } | null {
  const [width, height] = pair(node.size);
  return width === null || height === null ? null : { width, height };
}

/** Two numbers out of `[a, b]` or `{"0": a, "1": b}`. */
function pair(value: Json | undefined): [number | null, number | null] {
  const at = (key: number): number | null => {
    const item = isArray(value) ? value[key] : isObject(value) ? value[String(key)] : undefined;
    return typeof item === "number" && Number.isFinite(item) ? item : null;
  };
  return [at(0), at(1)];
}

export function groupRect(group: GroupRecord): Rect {
  const numbers = isArray(group.bounding) ? group.bounding.map((n) => (typeof n === "number" ? n : 0)) : [];
  return { x: numbers[0] ?? 0, y: numbers[1] ?? 0, width: numbers[2] ?? 140, height: numbers[3] ?? 80 };
}

/** A node's inputs; entries that are no objects count as empty ones, so that positions stay right. */
export function inputsOf(node: NodeRecord): readonly InputRecord[] {
  return entries(node.inputs);
}

export function outputsOf(node: NodeRecord): readonly OutputRecord[] {
  return entries(node.outputs);
}

function entries(value: Json | undefined): readonly JsonObject[] {
  return isArray(value) ? value.map((item) => (isObject(item) ? item : {})) : [];
}

export function inputLink(input: InputRecord | undefined): LinkId | null {
  return input === undefined ? null : idText(input.link);
}

export function outputLinks(output: OutputRecord | undefined): readonly LinkId[] {
  const list = output !== undefined && isArray(output.links) ? output.links : [];
  return list.map(idText).filter((id): id is string => id !== null);
}

/** The widget an input is the socket of; null for plain sockets. Files that do not say mean the input's own name. */
export function inputWidget(input: InputRecord): string | null {
  if (!isObject(input.widget)) return null;
  if (typeof input.widget.name === "string") return input.widget.name;
  return typeof input.name === "string" ? input.name : null;
}

export function socketName(item: { readonly name?: Json; readonly label?: Json }): string {
  if (typeof item.label === "string" && item.label !== "") return item.label;
  return typeof item.name === "string" ? item.name : "";
}

export function flagOf(node: NodeRecord, name: string): boolean {
  return isObject(node.flags) && node.flags[name] === true;
}

export function propertiesOf(node: NodeRecord): JsonObject {
  return isObject(node.properties) ? node.properties : {};
}

export function titleOf(node: NodeRecord, catalog: Catalog, document?: WorkflowDocument): string {
  if (typeof node.title === "string" && node.title !== "") return node.title;
  const type = typeOf(node);
  const definition = document?.graphs.get(type);
  if (definition !== undefined && type !== "" && typeof definition.rest.name === "string") return definition.rest.name;
  return catalog.get(type)?.title || type;
}

export function colorOf(record: { readonly [key: string]: Json | undefined }, key = "color"): string | null {
  const value = record[key];
  return typeof value === "string" && /^#[0-9a-fA-F]{3,8}$/.test(value) ? value : null;
}

/** Whether the server could run the node: a known type, a subgraph, or one the editor itself works on. */
export function isKnownNode(node: NodeRecord, catalog: Catalog, document: WorkflowDocument): boolean {
  const type = typeOf(node);
  return catalog.get(type) !== undefined || EDITOR_TYPES.has(type) || isInstance(node, document);
}

/** Whether the node stands for a subgraph definition of the document. */
export function isInstance(node: NodeRecord, document: WorkflowDocument): boolean {
  const type = typeOf(node);
  return type !== "" && document.graphs.has(type);
}

/** The reroute points of a link, from its origin to its target. */
export function pointsOfLink(graph: GraphState, parent: string | null): readonly RerouteRecord[] {
  const found: RerouteRecord[] = [];
  const seen = new Set<string>();
  for (let id = parent; id !== null && !seen.has(id); ) {
    seen.add(id);
    const point: RerouteRecord | undefined = graph.reroutes.byId.get(id);
    if (point === undefined) break;
    found.unshift(point);
    id = idText(point.parentId);
  }
  return found;
}
