/** Subgraphs of the open document: make one of what is selected, take it apart, go into it, keep it as a blueprint. */

import { sayNow } from "../i18n/catalogue";
import { copied, paste } from "../model/clipboard";
import { isInstance, typeOf } from "../model/node_reading";
import type { NodeId } from "../model/records";
import { selectionOf } from "../model/selection";
import type { SubgraphTools } from "../model/subgraph_interface";
import { makeSubgraph } from "../model/subgraph_making";
import { unpackSubgraph } from "../model/subgraph_unpacking";
import { listWorkflows, readWorkflow, saveWorkflowAs } from "../server/workflows";
import { newId } from "./new_id";
import type { Session } from "./session";

/** Saved workflows below this folder are blueprints: one instance, to be put into other workflows. */
export const BLUEPRINTS = "blueprints/";

export function subgraphTools(session: Session): SubgraphTools {
  return { catalog: session.store.getState().catalog, listFiles: session.files.list, newId };
}

export function makeSubgraphHere(session: Session): void {
  const { open } = session.store.getState();
  const { nodes, groups } = open.selection;
  if (nodes.size === 0) return;
  const graph = open.graph.id;
  const id = open.edit("Make a subgraph", (edit) =>
    makeSubgraph(edit, graph, { nodes, groups }, sayNow()("subgraph.new"), subgraphTools(session)));
  if (id !== null) open.select(selectionOf({ nodes: [id] }));
}

export function unpackSelected(session: Session): void {
  const { open } = session.store.getState();
  const graph = open.graph.id;
  const found = open.edit("Unpack", (edit) => [...open.selection.nodes].flatMap((id) => {
    const part = unpackSubgraph(edit, graph, id, subgraphTools(session));
    return part === null ? [] : [part];
  }));
  if (found.length === 0) return;
  open.select(selectionOf({ nodes: found.flatMap((part) => [...part.nodes]), groups: found.flatMap((part) => [...part.groups]) }));
}

export function enterSelected(session: Session): void {
  const { open } = session.store.getState();
  const [id] = open.selection.nodes;
  const node = open.graph.nodes.byId.get(id ?? "");
  if (node !== undefined && isInstance(node, open.document)) open.enter(typeOf(node));
}

/** Keep an instance with its definition on the server, to be put into other workflows. Raises what saving raises. */
export async function saveBlueprint(session: Session, node: NodeId, name: string): Promise<void> {
  const { open, workflows } = session.store.getState();
  const value = copied(open.document, open.graph.id, selectionOf({ nodes: [node] }));
  const path = BLUEPRINTS + name;
  const there = workflows.find((item) => item.name === path);
  await saveWorkflowAs(session.client, path, value, there === undefined ? null : `"${there.etag}"`);
  session.store.setState({ workflows: await listWorkflows(session.client) });
  session.say(sayNow()("blueprint.saved", { name }));
}

/** Put a blueprint into the shown graph. Raises what reading raises. */
export async function insertBlueprint(session: Session, path: string): Promise<void> {
  const { open } = session.store.getState();
  const { document } = await readWorkflow(session.client, path);
  const at = session.desk?.middle() ?? { x: 0, y: 0 };
  open.select(open.edit("Insert a blueprint", (edit) => paste(edit, open.graph.id, document, at, newId)));
  await session.loadFiles(open.document);
}
