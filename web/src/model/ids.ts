/** Fresh ids. Files count them: `last_node_id` in schema 0.4, `state.lastNodeId` in schema 1 and in definitions. */

import type { Edit } from "./edit";
import { isObject } from "./json";
import type { GraphId } from "./records";

const COUNTED = {
  node: { table: "nodes", plain: "last_node_id", inState: "lastNodeId" },
  link: { table: "links", plain: "last_link_id", inState: "lastLinkId" },
  reroute: { table: "reroutes", plain: null, inState: "lastRerouteId" },
} as const;

/** An id no record of that kind has or had; the file's counter is moved on. */
export function takeId(edit: Edit, graph: GraphId, kind: keyof typeof COUNTED): string {
  const { table, plain, inState } = COUNTED[kind];
  const { rest, [table]: records } = edit.graph(graph);
  const state = isObject(rest.state) ? rest.state : null;
  let last = 0;
  for (const counter of [state?.[inState], plain === null ? undefined : rest[plain]]) {
    if (typeof counter === "number" && Number.isSafeInteger(counter)) last = Math.max(last, counter);
  }
  for (const id of records.ids) {
    const number = Number(id);
    if (Number.isSafeInteger(number) && number > last) last = number;
  }
  if (state !== null) edit.setRest(graph, "state", { ...state, [inState]: last + 1 });
  if (plain !== null && (state === null || plain in rest)) edit.setRest(graph, plain, last + 1);
  return String(last + 1);
}
