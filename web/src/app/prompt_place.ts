/** Where the words of a workflow are: what people want to see of it first. */

import type { Scene } from "../geometry/scene";
import { METRICS } from "../geometry/node_shape";
import type { Rect } from "../geometry/shapes";
import { typeOf } from "../model/node_reading";
import { NOTE_TYPES } from "../model/records";

/** The leftmost node with a field of several lines that is no note; null when there is none. */
export function promptPlace(scene: Scene): Rect | null {
  let found: Rect | null = null;
  for (const [id, record] of scene.graph.nodes.byId) {
    if (NOTE_TYPES.has(typeOf(record))) continue;
    const box = scene.outer(id);
    const hasText = scene.node(id)?.shape.rows.some((row) => row.height > METRICS.widgetRow) === true;
    if (hasText && (found === null || box.x < found.x || (box.x === found.x && box.y < found.y))) found = box;
  }
  return found;
}
