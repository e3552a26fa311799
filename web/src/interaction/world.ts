/** A scene as gestures see it. */

import type { Scene } from "../geometry/scene";
import { grown, type Rect } from "../geometry/shapes";
import type { Viewport } from "../geometry/viewport";
import { inputLink, inputsOf, outputsOf } from "../model/node_reading";
import type { NodeId } from "../model/records";
import type { Selection } from "../model/selection";
import { socketType, typesFit } from "../model/socket_types";
import type { World } from "./gesture_state";

export interface WorldFacts {
  readonly viewport: Viewport;
  readonly selection: Selection;
  readonly grid: number;
  readonly snapsToGrid: boolean;
  readonly showsGuides: boolean;
}

const NEAR = 600;

export function worldOf(scene: Scene, facts: WorldFacts): World {
  return {
    ...facts,
    hit: (point, reach) => scene.hit(point, reach),
    socketNear: (point, side, reach) => scene.socketNear(point, side, reach),
    inBox: (box) => scene.inBox(box),
    heldBy: (group) => scene.heldBy(group),
    nodeAt: (id) => scene.node(id)?.at ?? null,
    outer: (id) => scene.outer(id),
    rerouteAt: (id) => scene.reroute(id) ?? null,
    groupRect: (id) => scene.group(id) ?? null,
    isFixed: (id) => scene.isPinned(id) || scene.isPanel(id),
    nodeSize: (id) => {
      const shape = scene.node(id)?.shape;
      return shape === undefined ? null : { width: shape.width, height: shape.height, minHeight: shape.minHeight };
    },
    neighbours: (region: Rect, except: ReadonlySet<NodeId>) =>
      scene.visible(grown(region, NEAR)).nodes.filter((id) => !except.has(id)).map((id) => scene.outer(id)),
    linkInto: (node, slot) => {
      const { graph } = scene;
      const record = graph.nodes.byId.get(node);
      const id = record === undefined ? null : inputLink(inputsOf(record)[slot]);
      const link = id === null ? undefined : graph.links.byId.get(id);
      if (link === undefined) return null;
      const origin = graph.nodes.byId.get(link.origin);
      const type = origin === undefined ? "*" : socketType(outputsOf(origin)[link.originSlot]);
      return { id: link.id, from: { node: link.origin, slot: link.originSlot, side: "output", type } };
    },
    fits: typesFit,
  };
}
