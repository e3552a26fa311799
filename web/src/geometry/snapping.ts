/** Snapping of what is dragged: to a grid, or to the edges and middles of what stands near. */

import type { Point, Rect } from "./shapes";

export function snapped(point: Point, grid: number): Point {
  return grid <= 0 ? point : { x: Math.round(point.x / grid) * grid, y: Math.round(point.y / grid) * grid };
}

/** A line to draw: at `at` on its axis ("x" is a vertical line), from `from` to `to` on the other. */
export interface Guide {
  readonly axis: "x" | "y";
  readonly at: number;
  readonly from: number;
  readonly to: number;
}

export interface Alignment {
  readonly dx: number;
  readonly dy: number;
  readonly guides: readonly Guide[];
}

/** The small move that puts edges or middles of `moving` in line with others, and the lines that show why. */
export function alignment(moving: Rect, others: readonly Rect[], within: number): Alignment {
  const x = nearest(moving, others, "x", within);
  const y = nearest(moving, others, "y", within);
  return {
    dx: x?.by ?? 0,
    dy: y?.by ?? 0,
    guides: [...(x === null ? [] : [x.guide]), ...(y === null ? [] : [y.guide])],
  };
}

function nearest(
  moving: Rect, others: readonly Rect[], axis: "x" | "y", within: number,
): { by: number; guide: Guide } | null {
  const cross = axis === "x" ? "y" : "x";
  let best: { by: number; other: Rect; at: number } | null = null;
  for (const other of others) {
    for (const at of lines(other, axis)) {
      for (const own of lines(moving, axis)) {
        const by = at - own;
        if (Math.abs(by) <= within && (best === null || Math.abs(by) < Math.abs(best.by))) best = { by, other, at };
      }
    }
  }
  if (best === null) return null;
  const ends = [lines(moving, cross), lines(best.other, cross)].flat();
  return { by: best.by, guide: { axis, at: best.at, from: Math.min(...ends), to: Math.max(...ends) } };
}

function lines(rect: Rect, axis: "x" | "y"): readonly number[] {
  const [start, length] = axis === "x" ? [rect.x, rect.width] : [rect.y, rect.height];
  return [start, start + length / 2, start + length];
}
