/** Painting of masks: one byte for each pixel of a picture, 255 where it is masked. Knows no canvas. */

import type { Pixels } from "./pixels";

/** A point of a picture, in its pixels. */
export interface Spot {
  readonly x: number;
  readonly y: number;
}

export interface Brush {
  readonly radius: number;
  /** How much of the radius is soft: 0 for a hard edge, 1 for all of it. */
  readonly softness: number;
  readonly erases: boolean;
}

export interface Mask {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Paints from one spot to the next, in place; returns the area that may have changed. */
export function paintStroke(mask: Mask, from: Spot, to: Spot, brush: Brush): Area {
  const { radius, erases } = brush;
  const soft = Math.max(1, radius * brush.softness);
  const area = within(mask, from, to, radius + 1);
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  for (let y = area.y; y < area.y + area.height; y++) {
    for (let x = area.x; x < area.x + area.width; x++) {
      const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const along = length === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / length));
      const away = Math.hypot(px - along * dx, py - along * dy);
      const cover = Math.round(255 * Math.min(1, Math.max(0, (radius - away) / soft + (brush.softness > 0 ? 0 : 0.5))));
      const at = y * mask.width + x;
      const now = mask.data[at] as number;
      mask.data[at] = erases ? Math.min(now, 255 - cover) : Math.max(now, cover);
    }
  }
  return area;
}

function within({ width, height }: Mask, from: Spot, to: Spot, reach: number): Area {
  const x = Math.max(0, Math.floor(Math.min(from.x, to.x) - reach));
  const y = Math.max(0, Math.floor(Math.min(from.y, to.y) - reach));
  const right = Math.min(width, Math.ceil(Math.max(from.x, to.x) + reach));
  const bottom = Math.min(height, Math.ceil(Math.max(from.y, to.y) + reach));
  return { x, y, width: Math.max(0, right - x), height: Math.max(0, bottom - y) };
}

export function invertedMask(mask: Mask): Mask {
  return { ...mask, data: mask.data.map((value) => 255 - value) };
}

export function emptyMask(width: number, height: number): Mask {
  return { width, height, data: new Uint8Array(width * height) };
}

/** What a picture with see-through places masks: what is not there. */
export function maskOf({ width, height, data }: Pixels): Mask {
  const mask = emptyMask(width, height);
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = 255 - (data[4 * i + 3] as number);
  return mask;
}

/** The colours of a picture, see-through where it is masked: how nodes that load pictures take a mask. */
export function maskedPixels({ width, height, data }: Pixels, mask: Mask): Pixels {
  const out = new Uint8ClampedArray(data);
  for (let i = 0; i < mask.data.length; i++) out[4 * i + 3] = 255 - (mask.data[i] as number);
  return { width, height, data: out };
}
