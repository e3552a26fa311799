/** The form's values and results follow their nodes into a subgraph and out of it. */

import type { Edit } from "./edit";
import { putForm, readForm } from "./form";
import { idText, isArray } from "./json";
import { insideOf } from "./node_paths";
import { propertiesOf } from "./node_reading";
import { rootOf, type GraphId, type GraphState, type NodeId, type NodeRecord } from "./records";

/** A node by its path from some graph on, and the name of a widget of it; null for its results. */
interface Aim {
  readonly ids: readonly NodeId[];
  readonly widget: string | null;
}

/** Nodes of `graph` are now in what its node `instance` stands for, with their ids. */
export function followIn(edit: Edit, graph: GraphId, instance: NodeId, nodes: ReadonlySet<NodeId>): void {
  follow(edit, graph, ({ ids, widget }) => (nodes.has(ids[0] ?? "") ? { ids: [instance, ...ids], widget } : null));
}

/**
 * What the node `id` of `graph`, the instance `gone`, stood for is now in `graph` itself: `nodes` has the new ids by the old, `widgetOf`
 * says which inner widget an input of the instance gave its value to.
 */
export function followOut(
  edit: Edit, graph: GraphId, id: NodeId, gone: NodeRecord, nodes: ReadonlyMap<NodeId, NodeId>,
  widgetOf: (name: string) => readonly [NodeId, string] | null,
): void {
  follow(edit, graph, ({ ids: [first, second, ...rest], widget }) => {
    if (first !== id) return null;
    if (second !== undefined) {
      const node = nodes.get(second);
      return node === undefined ? null : { ids: [node, ...rest], widget };
    }
    const found = widget === null ? null : (widgetOf(widget) ?? proxied(gone, nodes, widget));
    return found === null ? null : { ids: [found[0]], widget: found[1] };
  });
}

/** The inner widget that an instance shows under the inner widget's own name. */
function proxied(instance: NodeRecord, nodes: ReadonlyMap<NodeId, NodeId>, widget: string): readonly [NodeId, string] | null {
  const proxies = propertiesOf(instance).proxyWidgets;
  const found = (isArray(proxies) ? proxies : []).find((item) => isArray(item) && item[1] === widget);
  const node = isArray(found) ? nodes.get(idText(found[0]) ?? "") : undefined;
  return node === undefined ? null : [node, widget];
}

/** Changes what the form says of nodes of `graph`, through whichever instances it gets there; null leaves it. */
function follow(edit: Edit, graph: GraphId, to: (aim: Aim) => Aim | null): void {
  const document = edit.document();
  const form = readForm(document);
  if (form === null) return;
  let hasChanged = false;
  const moved = (path: string, widget: string | null): { readonly path: string; readonly widget: string | null } => {
    const ids = path.split(":");
    let state: GraphState | undefined = rootOf(document);
    for (let i = 0; i < ids.length && state !== undefined; i++) {
      const next: Aim | null = state.id === graph ? to({ ids: ids.slice(i), widget }) : null;
      if (next !== null) {
        hasChanged = true;
        return { path: [...ids.slice(0, i), ...next.ids].join(":"), widget: next.widget };
      }
      const record: NodeRecord | undefined = state.nodes.byId.get(ids[i] as NodeId);
      state = record === undefined || state.id === graph ? undefined : insideOf(document, record);
    }
    return { path, widget };
  };
  const fields = form.fields.map((field) => {
    const { path, widget } = moved(field.node, field.widget);
    return { ...field, node: path, widget: widget ?? field.widget };
  });
  const outputs = form.outputs.map((path) => moved(path, null).path);
  if (hasChanged) putForm(edit, { ...form, fields, outputs });
}
