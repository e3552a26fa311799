/** Putting a node on a link by dragging it there: which link that is, and whether it fits. */

import type { Scene } from "../geometry/scene";
import { inputLink, inputsOf, outputLinks, outputsOf } from "../model/node_reading";
import type { LinkId, NodeId } from "../model/records";
import { socketType, typesFit } from "../model/socket_types";

const REACH = 24;

/** The link under the middle of a node that has no links of its own yet and fits between its ends; null for none. */
export function insertionOf(scene: Scene, id: NodeId): LinkId | null {
  const node = scene.graph.nodes.byId.get(id);
  if (node === undefined) return null;
  const inputs = inputsOf(node);
  const outputs = outputsOf(node);
  if (inputs.length === 0 || outputs.length === 0) return null;
  if (inputs.some((item) => inputLink(item) !== null) || outputs.some((item) => outputLinks(item).length > 0)) return null;
  const { x, y, width, height } = scene.outer(id);
  const hit = scene.linkNear({ x: x + width / 2, y: y + height / 2 }, Math.max(REACH, height / 3));
  const link = hit === null ? undefined : scene.graph.links.byId.get(hit.id);
  if (link === undefined) return null;
  const type = String(link.type ?? "*");
  const fits = inputs.some((item) => typesFit(type, socketType(item))) && outputs.some((item) => typesFit(socketType(item), type));
  return fits ? link.id : null;
}
