/** What is selected in the graph that is shown. Not part of the document, not undone. */

import type { GraphState, GroupId, LinkId, NodeId, RerouteId } from "./records";

export interface Selection {
  readonly nodes: ReadonlySet<NodeId>;
  readonly links: ReadonlySet<LinkId>;
  readonly reroutes: ReadonlySet<RerouteId>;
  readonly groups: ReadonlySet<GroupId>;
}

const NONE: ReadonlySet<string> = new Set();
export const NO_SELECTION: Selection = { nodes: NONE, links: NONE, reroutes: NONE, groups: NONE };

export function selectionOf(parts: { readonly [key in keyof Selection]?: Iterable<string> }): Selection {
  return {
    nodes: new Set(parts.nodes), links: new Set(parts.links),
    reroutes: new Set(parts.reroutes), groups: new Set(parts.groups),
  };
}

export function isEmptySelection(selection: Selection): boolean {
  return KINDS.every((kind) => selection[kind].size === 0);
}

const KINDS = ["nodes", "links", "reroutes", "groups"] as const;

/** `base` with `more` added, or taken away where `toggle` and all of `more` is in it. */
export function combined(base: Selection, more: Selection, how: "add" | "toggle"): Selection {
  const isIn = KINDS.every((kind) => [...more[kind]].every((id) => base[kind].has(id)));
  const join = (kind: keyof Selection): ReadonlySet<string> =>
    how === "toggle" && isIn
      ? new Set([...base[kind]].filter((id) => !more[kind].has(id)))
      : new Set([...base[kind], ...more[kind]]);
  return { nodes: join("nodes"), links: join("links"), reroutes: join("reroutes"), groups: join("groups") };
}

/** The selection without what the graph does not have any more; the same object where nothing is missing. */
export function pruned(selection: Selection, graph: GraphState): Selection {
  if (KINDS.every((kind) => [...selection[kind]].every((id) => graph[kind].byId.has(id)))) return selection;
  const keep = (kind: keyof Selection) => [...selection[kind]].filter((id) => graph[kind].byId.has(id));
  return selectionOf({
    nodes: keep("nodes"), links: keep("links"), reroutes: keep("reroutes"), groups: keep("groups"),
  });
}
