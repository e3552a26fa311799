/** What a document is made of. Every record keeps the keys of the file it does not know. All of it is immutable. */

import type { Json, JsonObject } from "./json";

/** Ids are text everywhere in the editor; files write numbers where they are numbers. */
export type NodeId = string;
export type LinkId = string;
export type RerouteId = string;
export type GroupId = string;
/** The root graph, or the id of a subgraph definition. */
export type GraphId = string;

export const ROOT: GraphId = "";
/** The panels of a subgraph: links leave its inputs from one and enter its outputs at the other. */
export const INPUT_PANEL: NodeId = "-10";
export const OUTPUT_PANEL: NodeId = "-20";

export const MODE = { always: 0, muted: 2, bypassed: 4 } as const;
export const NOTE_TYPES: ReadonlySet<string> = new Set(["Note", "MarkdownNote"]);
export const EDITOR_TYPES: ReadonlySet<string> = new Set([...NOTE_TYPES, "Reroute", "PrimitiveNode"]);

export interface SocketRecord extends JsonObject {
  readonly name?: Json;
  readonly type?: Json;
  readonly label?: Json;
}
export interface InputRecord extends SocketRecord {
  readonly link?: Json;
  readonly widget?: Json;
}
export interface OutputRecord extends SocketRecord {
  readonly links?: Json;
}

/** A node exactly as the file has it; read it through the functions of `node_reading`. */
export interface NodeRecord extends JsonObject {
  readonly id: number | string | bigint;
  readonly type?: Json;
  readonly pos?: Json;
  readonly size?: Json;
  readonly flags?: Json;
  readonly mode?: Json;
  readonly title?: Json;
  readonly inputs?: Json;
  readonly outputs?: Json;
  readonly properties?: Json;
  readonly widgets_values?: Json;
}

/** A link; `raw` is the entry of the file it came from (an array or an object), null for a new one. */
export interface LinkRecord {
  readonly id: LinkId;
  readonly origin: NodeId;
  readonly originSlot: number;
  readonly target: NodeId;
  readonly targetSlot: number;
  readonly type: Json;
  /** The reroute point nearest to the target. */
  readonly parent: RerouteId | null;
  readonly raw: Json;
}

/** A point on links: `parentId` is the point before it, `linkIds` the links that pass. */
export interface RerouteRecord extends JsonObject {
  readonly id: number | string | bigint;
  readonly parentId?: Json;
  readonly pos?: Json;
  readonly linkIds?: Json;
}

/** A frame around nodes: `bounding` is [x, y, width, height]. */
export interface GroupRecord extends JsonObject {
  readonly title?: Json;
  readonly bounding?: Json;
  readonly color?: Json;
}

/** An ordered set of records. The order is that of the file; of nodes, it is also back to front. */
export interface Table<T> {
  readonly ids: readonly string[];
  readonly byId: ReadonlyMap<string, T>;
}

/** An entry of a file that is no record (no id, an id taken already, not an object), to be saved at its place. */
export interface OddEntry {
  readonly at: number;
  readonly raw: Json;
}
export type TableName = "nodes" | "links" | "reroutes" | "groups";

export interface RecordOf {
  nodes: NodeRecord;
  links: LinkRecord;
  reroutes: RerouteRecord;
  groups: GroupRecord;
}

/** One graph: the root or a subgraph definition. `rest` are all keys that have no place of their own, verbatim. */
export interface GraphState {
  readonly id: GraphId;
  /** Whose `definitions` hold it; null for the root. */
  readonly holder: GraphId | null;
  readonly nodes: Table<NodeRecord>;
  readonly links: Table<LinkRecord>;
  readonly reroutes: Table<RerouteRecord>;
  readonly groups: Table<GroupRecord>;
  readonly rest: JsonObject;
  readonly odd: { readonly [name in TableName]: readonly OddEntry[] };
}

/** A workflow. `version` is the schema it is saved in: 0.4 or 1. */
export interface WorkflowDocument {
  readonly version: number;
  readonly graphs: ReadonlyMap<GraphId, GraphState>;
}

export const EMPTY_TABLE: Table<never> = { ids: [], byId: new Map<string, never>() };

export function rootOf(document: WorkflowDocument): GraphState {
  return document.graphs.get(ROOT) as GraphState;
}
