/** Adds a chosen node to the open graph, and links it where a link waits. */

import type { SearchRequest } from "../app/requests";
import type { Session } from "../app/session";
import type { Say } from "../i18n/catalogue";
import { connect, type SocketPlace } from "../model/link_edits";
import { addNode, widgetSocket } from "../model/node_edits";
import { inputsOf, inputWidget, outputsOf } from "../model/node_reading";
import type { Edit } from "../model/edit";
import type { GraphId, NodeId } from "../model/records";
import { selectionOf } from "../model/selection";
import { fitness, socketType } from "../model/socket_types";

/** What a dragged node type is called in a drop. */
export const NODE_DRAG = "application/x-atelier-node";

/** What the editor's own nodes are called. */
export function ownTitles(say: Say): Readonly<Record<string, string>> {
  return { Note: say("search.note"), MarkdownNote: say("search.markdownNote"), PrimitiveNode: say("search.primitive") };
}

const USES_KEY = "atelier-node-uses";

export function readUses(): Record<string, number> {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(USES_KEY) ?? "{}");
    return typeof found === "object" && found !== null ? (found as Record<string, number>) : {};
  } catch {
    return {};
  }
}

function countUse(type: string): void {
  try {
    const uses = readUses();
    localStorage.setItem(USES_KEY, JSON.stringify({ ...uses, [type]: (uses[type] ?? 0) + 1 }));
  } catch {
    // Ranking by habit is a comfort; without storage there is none.
  }
}

/** Add a node of a type as one step of undo and select it; its id, or null for a type nobody knows. */
export async function addFound(session: Session, type: string, { at, from }: SearchRequest): Promise<NodeId | null> {
  const { open, catalog } = session.store.getState();
  await session.files.load(catalog, [type]).catch(() => undefined);
  const graph = open.graph.id;
  const id = open.edit("Add", (edit) => {
    const added = addNode(edit, graph, type, at, catalog, session.files.list);
    if (added !== null && from !== undefined) {
      const socket = bestSocket(edit, graph, added, from, (name) => widgetSocket(edit, graph, added, name, catalog));
      if (socket !== null && from.side === "output") connect(edit, graph, from, socket);
      else if (socket !== null) connect(edit, graph, socket, from);
    }
    return added;
  });
  if (id !== null) {
    countUse(type);
    open.select(selectionOf({ nodes: [id] }));
  }
  return id;
}

type Waiting = NonNullable<SearchRequest["from"]>;

/** The socket that fits the waiting end best; of equals plain sockets go before those of widgets, then the first. */
function bestSocket(
  edit: Edit, graph: GraphId, id: NodeId, from: Waiting, socketOf: (widget: string) => number | null,
): SocketPlace | null {
  const node = edit.get(graph, "nodes", id);
  if (node === undefined) return null;
  const list = from.side === "output" ? inputsOf(node) : outputsOf(node);
  const scores = list.map((item) => {
    const widget = from.side === "output" ? inputWidget(item) : null;
    const fit = from.side === "output" ? fitness(from.type, socketType(item)) : fitness(socketType(item), from.type);
    return { widget, score: fit * 2 - (widget === null ? 0 : 1) };
  });
  const best = Math.max(0, ...scores.map(({ score }) => score));
  if (best <= 0) return null;
  const slot = scores.findIndex(({ score }) => score === best);
  const widget = scores[slot]?.widget ?? null;
  const place = widget === null ? slot : socketOf(widget);
  return place === null ? null : { node: id, slot: place };
}
