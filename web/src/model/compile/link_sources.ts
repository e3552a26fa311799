/** Where the value of a link really comes from: through reroutes, bypassed nodes and the walls of subgraphs. */

import { inputLink, inputsOf, outputsOf, typeOf } from "../node_reading";
import { EDITOR_TYPES, INPUT_PANEL, MODE, type LinkId, type NodeRecord } from "../records";
import { socketType, typesFit } from "../socket_types";
import { CompileError, instanceLink, type EditorLink, type Scope } from "./scopes";

/** An output of the compiled graph. */
export interface Source {
  readonly node: string;
  readonly slot: number;
}

/** The link leads to a node that is muted: the input goes away, and a widget value with it. */
export const REMOVED = "removed";

interface Place {
  readonly scope: Scope;
  readonly link: LinkId;
}
type Step = { readonly to: Place } | { readonly end: Source | typeof REMOVED | null };

/**
 * The output a link takes its value from; null when it leads nowhere. `wanted` is the type of the input at the end of
 * the chain and decides the way through bypassed nodes. Raises CompileError for loops.
 */
export function findSource(scope: Scope, link: LinkId, wanted: string): Source | typeof REMOVED | null {
  const seen = new Map<Scope, Set<LinkId>>();
  let place: Place = { scope, link };
  for (;;) {
    const record = place.scope.index.links.get(place.link);
    if (record === undefined) return null;
    const passed = seen.get(place.scope) ?? new Set();
    if (passed.has(place.link)) {
      const node = place.scope.prefix + record.origin;
      throw new CompileError("cycle", "Reroutes or bypassed nodes feed themselves in a cycle.", node);
    }
    seen.set(place.scope, passed.add(place.link));
    const step = stepUp(place.scope, record, wanted);
    if ("end" in step) return step.end;
    place = step.to;
  }
}

const NOWHERE: Step = { end: null };

function stepUp(scope: Scope, link: EditorLink, wanted: string): Step {
  if (link.origin === INPUT_PANEL) {
    const outer = instanceLink(scope, link.slot);
    return outer === null || scope.parent === null ? NOWHERE : { to: { scope: scope.parent, link: outer } };
  }
  const node = scope.index.nodes.get(link.origin);
  if (node === undefined) return NOWHERE;
  const type = typeOf(node);
  if (type === "Reroute") return throughInput(scope, node, 0);
  if (EDITOR_TYPES.has(type)) return NOWHERE;
  if (node.mode === MODE.muted) return { end: REMOVED };
  if (node.mode === MODE.bypassed) {
    const position = bypassInput(node, link.slot, wanted);
    return position === null ? NOWHERE : throughInput(scope, node, position);
  }
  const child = scope.children.get(link.origin);
  if (child !== undefined) {
    const inner = child.index.panelLinks.get(link.slot);
    return inner === undefined ? NOWHERE : { to: { scope: child, link: inner } };
  }
  return { end: { node: scope.prefix + link.origin, slot: link.slot } };
}

function throughInput(scope: Scope, node: NodeRecord, position: number): Step {
  const link = inputLink(inputsOf(node)[position]);
  return link === null ? NOWHERE : { to: { scope, link } };
}

/** Which input of a bypassed node takes the place of its output `slot` when a value of type `wanted` is needed. */
export function bypassInput(node: NodeRecord, slot: number, wanted: string): number | null {
  const inputs = inputsOf(node).map(socketType);
  if (wanted === "*" || wanted === "") {
    if (inputs.length === 0) return null;
    return slot >= 0 && slot < inputs.length ? slot : 0;
  }
  const given = socketType(outputsOf(node)[slot]);
  const fits = (type: string | undefined) => type !== undefined && typesFit(type, wanted) && typesFit(type, given);
  if (fits(inputs[slot])) return slot;
  const exact = inputs.indexOf(wanted);
  if (exact >= 0) return exact;
  const first = inputs.findIndex(fits);
  return first < 0 ? null : first;
}
