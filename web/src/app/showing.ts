/** Goes to a node wherever it is: the way through the instances around it is walked. */

import { typeOf } from "../model/node_reading";
import type { NodeId } from "../model/records";
import type { OpenDocument } from "../model/open_document";
import type { GraphDesk } from "./graph_desk";

/** What is asked of a session. */
interface Shown {
  readonly store: { readonly getState: () => { readonly open: OpenDocument } };
  readonly desk: GraphDesk | null;
}

/** `path` are the instances from the outside in, the node last. */
export function showPath(session: Shown, path: readonly NodeId[]): void {
  const { open } = session.store.getState();
  const way = path.slice(0, -1);
  const ids = open.path.slice(1);
  const graphs: string[] = [];
  let graph = open.document.graphs.get("");
  for (const id of way) {
    const node = graph?.nodes.byId.get(id);
    graph = node === undefined ? undefined : open.document.graphs.get(typeOf(node));
    if (graph === undefined) break;
    graphs.push(graph.id);
  }
  if (graphs.length !== ids.length || graphs.some((id, i) => id !== ids[i])) {
    open.leaveTo(0);
    for (const id of graphs) open.enter(id);
  }
  session.desk?.showNode(path.at(-1) as NodeId);
}

/** Whether somebody is writing, or in a window over the page. */
export function isAtAField(): boolean {
  if (typeof document === "undefined") return false;
  const { activeElement } = document;
  return activeElement !== null && activeElement.closest("input, textarea, select, [role=dialog]") !== null;
}
