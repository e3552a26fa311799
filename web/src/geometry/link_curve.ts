/** The course of a link: from an output over its reroute points to an input. */

import { boundsOf, grown, type Point, type Rect } from "./shapes";

export type LinkStyle = "spline" | "straight" | "linear";

/** A cubic curve from `from` to `to`, or a line where the handles lie on the ends. */
export interface Segment {
  readonly from: Point;
  readonly to: Point;
  readonly handleFrom: Point;
  readonly handleTo: Point;
}

export interface LinkCurve {
  readonly segments: readonly Segment[];
  readonly bounds: Rect;
  /** For each stretch between points, the index of its first segment: where a new reroute point goes. */
  readonly stretches: readonly number[];
}

const STUB = 15;
const SAMPLES = 20;

/** `points`: the origin socket, the reroute points, the target socket. */
export function linkCurve(points: readonly Point[], style: LinkStyle): LinkCurve {
  const segments: Segment[] = [];
  const stretches: number[] = [];
  for (let i = 1; i < points.length; i++) {
    const [from, to] = [points[i - 1] as Point, points[i] as Point];
    stretches.push(segments.length);
    if (style === "spline") segments.push(spline(from, to));
    else segments.push(...lines(style === "linear" ? linearPath(from, to) : straightPath(from, to)));
  }
  const corners = segments.flatMap((item) => [item.from, item.to, item.handleFrom, item.handleTo]);
  const bounds = boundsOf(corners.map((point) => ({ ...point, width: 0, height: 0 })));
  return { segments, stretches, bounds: grown(bounds ?? { x: 0, y: 0, width: 0, height: 0 }, 4) };
}

function spline(from: Point, to: Point): Segment {
  const reach = Math.hypot(to.x - from.x, to.y - from.y) * 0.25;
  return { from, to, handleFrom: { x: from.x + reach, y: from.y }, handleTo: { x: to.x - reach, y: to.y } };
}

function straightPath(from: Point, to: Point): Point[] {
  const x = (from.x + STUB + to.x - STUB) / 2;
  return [from, { x, y: from.y }, { x, y: to.y }, to];
}

function linearPath(from: Point, to: Point): Point[] {
  return [from, { x: from.x + STUB, y: from.y }, { x: to.x - STUB, y: to.y }, to];
}

function lines(points: readonly Point[]): Segment[] {
  return points.slice(1).map((to, i) => {
    const from = points[i] as Point;
    return { from, to, handleFrom: from, handleTo: to };
  });
}

export function pointOn(segment: Segment, t: number): Point {
  const s = 1 - t;
  const mix = (a: number, b: number, c: number, d: number) =>
    s * s * s * a + 3 * s * s * t * b + 3 * s * t * t * c + t * t * t * d;
  return {
    x: mix(segment.from.x, segment.handleFrom.x, segment.handleTo.x, segment.to.x),
    y: mix(segment.from.y, segment.handleFrom.y, segment.handleTo.y, segment.to.y),
  };
}

/** The middle of the course, where a link shows its handle. */
export function middleOf(curve: LinkCurve): Point {
  const at = Math.floor((curve.segments.length - 1) / 2);
  const segment = curve.segments[at];
  if (segment === undefined) return { x: curve.bounds.x, y: curve.bounds.y };
  return pointOn(segment, curve.segments.length % 2 === 1 ? 0.5 : 1);
}

/** How far a point is from a curve, and between which points of the link the nearest place is. */
export function distanceTo(curve: LinkCurve, point: Point): { readonly distance: number; readonly stretch: number } {
  let best = { distance: Infinity, stretch: 0 };
  curve.segments.forEach((segment, i) => {
    const isLine = segment.handleFrom === segment.from;
    const steps = isLine ? 1 : SAMPLES;
    let from = segment.from;
    for (let step = 1; step <= steps; step++) {
      const to = step === steps ? segment.to : pointOn(segment, step / steps);
      const distance = distanceToLine(from, to, point);
      if (distance < best.distance) best = { distance, stretch: stretchOf(curve, i) };
      from = to;
    }
  });
  return best;
}

function stretchOf(curve: LinkCurve, segment: number): number {
  return Math.max(0, curve.stretches.findLastIndex((first) => first <= segment));
}

function distanceToLine(from: Point, to: Point, point: Point): number {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const t = length === 0 ? 0 : Math.min(1, Math.max(0, ((point.x - from.x) * dx + (point.y - from.y) * dy) / length));
  return Math.hypot(from.x + t * dx - point.x, from.y + t * dy - point.y);
}
