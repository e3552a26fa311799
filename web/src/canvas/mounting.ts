/** Which nodes have a DOM body: near and visible ones at working zoom, a few more each frame, the nearest first. */

import type { Scene } from "../geometry/scene";
import { grown, overlaps } from "../geometry/shapes";
import { visibleRect, type Size, type Viewport } from "../geometry/viewport";
import type { NodeId } from "../model/records";

/** Below this zoom text is too small to work with and the canvas draws everything. */
export const MOUNT_FROM = 0.5;
const MARGIN_PX = 160;
const KEEP_PX = 800;
const MAX_MOUNTED = 120;
const PER_FRAME = { moving: 1, resting: 6 } as const;

export interface MountFacts {
  readonly viewport: Viewport;
  readonly size: Size;
  readonly isMoving: boolean;
  /** Somebody types in it or watches it: it stays wherever it is. */
  readonly isHeld: (id: NodeId) => boolean;
}

export interface MountPlan {
  readonly mounted: ReadonlySet<NodeId>;
  /** Whether the next frame has more to do. */
  readonly hasMore: boolean;
}

/** The next set of mounted nodes; the same set object where nothing changes. */
export function nextMounts(scene: Scene, mounted: ReadonlySet<NodeId>, facts: MountFacts): MountPlan {
  const { viewport, size, isMoving, isHeld } = facts;
  if (viewport.zoom < MOUNT_FROM) {
    const kept = [...mounted].filter((id) => scene.node(id) !== undefined && (isMoving || isHeld(id)));
    return { mounted: kept.length === mounted.size ? mounted : new Set(kept), hasMore: isMoving && mounted.size > 0 };
  }
  const seen = visibleRect(viewport, size);
  const near = grown(seen, MARGIN_PX / viewport.zoom);
  const middle = { x: seen.x + seen.width / 2, y: seen.y + seen.height / 2 };
  const distance = (id: NodeId) => {
    const box = scene.outer(id);
    return Math.hypot(box.x + box.width / 2 - middle.x, box.y + box.height / 2 - middle.y);
  };
  const wanted = scene.visible(isMoving ? seen : near).nodes.filter((id) => canMount(scene, id));
  const missing = wanted.filter((id) => !mounted.has(id));
  const kept = keptOf(scene, mounted, facts, grown(seen, KEEP_PX / viewport.zoom));
  const room = Math.max(0, MAX_MOUNTED - kept.length);
  const batch = Math.min(room, isMoving ? PER_FRAME.moving : PER_FRAME.resting);
  const added = missing.length <= batch ? missing : missing.sort((a, b) => distance(a) - distance(b)).slice(0, batch);
  if (added.length === 0 && kept.length === mounted.size) return { mounted, hasMore: false };
  return { mounted: new Set([...kept, ...added]), hasMore: missing.length > added.length && room > added.length };
}

/** Panels of subgraphs and the dots of old reroute nodes are drawn. */
function canMount(scene: Scene, id: NodeId): boolean {
  const kind = scene.node(id)?.shape.kind;
  return kind === "node" || kind === "collapsed";
}

/** While the picture moves nothing is taken away; at rest what is far. */
function keptOf(scene: Scene, mounted: ReadonlySet<NodeId>, facts: MountFacts, region: ReturnType<typeof grown>): NodeId[] {
  return [...mounted].filter((id) => {
    if (scene.node(id) === undefined || scene.isPanel(id)) return false;
    if (facts.isHeld(id)) return true;
    if (facts.isMoving && mounted.size < MAX_MOUNTED) return true;
    return overlaps(scene.outer(id), region);
  });
}
