/** What part of the world is on the screen. `x`, `y` is the world point at the top left corner of the canvas. */

import type { Point, Rect } from "./shapes";

export interface Viewport extends Point {
  readonly zoom: number;
}
export interface Size {
  readonly width: number;
  readonly height: number;
}

export const MIN_ZOOM = 0.04;
export const MAX_ZOOM = 4;
/** The smallest zoom at which what nodes say is read, on a desk and in the hand. */
const READABLE_ZOOM = { wide: 0.58, narrow: 0.7 } as const;
const NARROW_PX = 600;

export function toWorld(viewport: Viewport, screen: Point): Point {
  return { x: viewport.x + screen.x / viewport.zoom, y: viewport.y + screen.y / viewport.zoom };
}

export function toScreen(viewport: Viewport, world: Point): Point {
  return { x: (world.x - viewport.x) * viewport.zoom, y: (world.y - viewport.y) * viewport.zoom };
}

/** The part of the world a canvas of `size` pixels shows. */
export function visibleRect(viewport: Viewport, size: Size): Rect {
  return { x: viewport.x, y: viewport.y, width: size.width / viewport.zoom, height: size.height / viewport.zoom };
}

/** Moves the picture by screen pixels. */
export function panned(viewport: Viewport, dx: number, dy: number): Viewport {
  return { ...viewport, x: viewport.x - dx / viewport.zoom, y: viewport.y - dy / viewport.zoom };
}

/** Zooms so that the world point under `screen` stays there. */
export function zoomedAt(viewport: Viewport, screen: Point, factor: number): Viewport {
  const zoom = Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, viewport.zoom * factor));
  const at = toWorld(viewport, screen);
  return { x: at.x - screen.x / zoom, y: at.y - screen.y / zoom, zoom };
}

/**
 * Shows all of `rect` in the middle, at most at zoom 1, with `margin` pixels around. Where there is room to spare, `below`
 * pixels at the lower edge are left to what lies over the canvas there.
 */
export function fitted(rect: Rect, size: Size, margin = 40, below = 0): Viewport {
  const room = { width: Math.max(1, size.width - 2 * margin), height: Math.max(1, size.height - 2 * margin) };
  const wanted = Math.min(room.width / Math.max(1, rect.width), room.height / Math.max(1, rect.height), 1);
  const zoom = Math.max(MIN_ZOOM, wanted);
  const lift = Math.max(0, Math.min(below / 2, (size.height - rect.height * zoom) / 2 - margin));
  return {
    x: rect.x + rect.width / 2 - size.width / 2 / zoom,
    y: rect.y + rect.height / 2 - (size.height / 2 - lift) / zoom,
    zoom,
  };
}

/**
 * What is seen of a graph first: all of it while it stays readable, else its upper left part, moved as far as it takes
 * to show `anchor` too.
 */
export function firstView(rect: Rect, size: Size, anchor: Rect | null, below = 0): Viewport {
  const margin = Math.min(40, size.width / 24);
  const all = fitted(rect, size, margin, below);
  const zoom = size.width < NARROW_PX ? READABLE_ZOOM.narrow : READABLE_ZOOM.wide;
  if (all.zoom >= zoom) return all;
  const along = (start: number, length: number, room: number, from: number, wanted: number) => {
    const [world, edge] = [room / zoom, margin / zoom];
    if (length + 2 * edge <= world) return start + length / 2 - world / 2;
    const first = Math.max(start - edge, from + wanted + edge - world);
    return Math.min(first, from - edge);
  };
  const [fromX, fromY] = [anchor?.x ?? rect.x, anchor?.y ?? rect.y];
  return {
    x: along(rect.x, rect.width, size.width, fromX, anchor?.width ?? 0),
    y: along(rect.y, rect.height, size.height, fromY, anchor?.height ?? 0),
    zoom,
  };
}
