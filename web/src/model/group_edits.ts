/** Commands on groups, the frames around nodes. */

import type { Edit } from "./edit";
import type { Json } from "./json";
import type { Rect } from "./node_reading";
import type { GraphId, GroupId } from "./records";

export function addGroup(edit: Edit, graph: GraphId, title: string, at: Rect, color?: string): GroupId {
  const { groups } = edit.graph(graph);
  const last = Math.max(-1, ...groups.ids.map((id) => Number(id.slice(1))).filter(Number.isFinite));
  const numbers = [...groups.byId.values()].map((group) => (typeof group.id === "number" ? group.id : 0));
  const id = `g${last + 1}`;
  edit.put(graph, "groups", id, {
    id: Math.max(0, ...numbers) + 1, title, bounding: bounding(at), ...(color === undefined ? {} : { color }), flags: {},
  });
  return id;
}

export function setGroupRect(edit: Edit, graph: GraphId, id: GroupId, rect: Rect): void {
  setGroup(edit, graph, id, "bounding", bounding(rect));
}

/** Sets a key of a group (title, color, font_size …). */
export function setGroup(edit: Edit, graph: GraphId, id: GroupId, key: string, value: Json): void {
  const group = edit.get(graph, "groups", id);
  if (group !== undefined) edit.put(graph, "groups", id, { ...group, [key]: value });
}

export function removeGroup(edit: Edit, graph: GraphId, id: GroupId): void {
  edit.remove(graph, "groups", id);
}

function bounding(rect: Rect): Json {
  return [Math.round(rect.x), Math.round(rect.y), Math.round(rect.width), Math.round(rect.height)];
}
