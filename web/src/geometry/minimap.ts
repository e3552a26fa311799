/** The whole graph in a small box: where its things are on the map, and where a place of the map is in the graph. */

import type { Op } from "../model/edit";
import type { Point, Rect } from "./shapes";
import type { Size } from "./viewport";

/** A place of the map is `(world - corner) * scale`. */
export interface MapScale {
  readonly corner: Point;
  readonly scale: number;
}

const MARGIN_PX = 8;
/** A graph of one node does not fill the map. */
const MAX_SCALE = 0.16;
const MIN_FRAME_PX = 6;

/** Fits `bounds` into a map of `size` pixels, in its middle. */
export function mapScale(bounds: Rect | null, size: Size): MapScale {
  const { x, y, width, height } = bounds ?? { x: 0, y: 0, width: 1, height: 1 };
  const room = { width: size.width - 2 * MARGIN_PX, height: size.height - 2 * MARGIN_PX };
  const scale = Math.min(room.width / Math.max(1, width), room.height / Math.max(1, height), MAX_SCALE);
  return { corner: { x: x + width / 2 - size.width / 2 / scale, y: y + height / 2 - size.height / 2 / scale }, scale };
}

export function onMap({ corner, scale }: MapScale, { x, y, width, height }: Rect): Rect {
  return { x: (x - corner.x) * scale, y: (y - corner.y) * scale, width: width * scale, height: height * scale };
}

export function fromMap({ corner, scale }: MapScale, { x, y }: Point): Point {
  return { x: corner.x + x / scale, y: corner.y + y / scale };
}

/** What is seen, as a frame on the map; a strip at its edge where that lies outside. */
export function frameOnMap(map: MapScale, size: Size, seen: Rect): Rect {
  const frame = onMap(map, seen);
  const along = (start: number, length: number, room: number) => {
    const from = Math.min(Math.max(0, start), room - MIN_FRAME_PX);
    return [from, Math.max(MIN_FRAME_PX, Math.min(room, start + length) - from)] as const;
  };
  const [x, width] = along(frame.x, frame.width, size.width);
  const [y, height] = along(frame.y, frame.height, size.height);
  return { x, y, width, height };
}

const SHOWN = ["pos", "size", "flags", "mode", "color", "bgcolor"] as const;

/** Whether a change is seen on the map: values and titles are not. */
export function changesMap(op: Op): boolean {
  if (op.on === "reroutes") return false;
  if (op.on !== "nodes") return true;
  const { before, after } = op;
  return before === undefined || after === undefined || SHOWN.some((key) => before[key] !== after[key]);
}
