/** The part of a picture that is kept: moved, resized and held to a shape, in whole pixels. Knows no canvas. */

import type { Area, Mask, Spot } from "./mask";
import type { Pixels } from "./pixels";

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** Which edges are in hand: −1 left or top, 1 right or bottom, 0 neither. */
export interface Handle {
  readonly x: -1 | 0 | 1;
  readonly y: -1 | 0 | 1;
}

export const HANDLES: readonly Handle[] = [
  { x: -1, y: -1 }, { x: 0, y: -1 }, { x: 1, y: -1 }, { x: -1, y: 0 }, { x: 1, y: 0 }, { x: -1, y: 1 }, { x: 0, y: 1 }, { x: 1, y: 1 },
];
/** Width to height, as people say it. */
export const SHAPES = ["1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16"] as const;

export function shapeRatio(shape: (typeof SHAPES)[number]): number {
  const [width, height] = shape.split(":").map(Number) as [number, number];
  return width / height;
}

const clamped = (value: number, least: number, most: number) => Math.min(Math.max(value, least), Math.max(least, most));

/** Whole pixels inside of the picture, at least one each way. */
export function wholeCrop({ x, y, width, height }: Area, size: PictureSize): Area {
  const [wide, high] = [clamped(Math.round(width), 1, size.width), clamped(Math.round(height), 1, size.height)];
  return { x: clamped(Math.round(x), 0, size.width - wide), y: clamped(Math.round(y), 0, size.height - high), width: wide, height: high };
}

export function movedCrop(crop: Area, dx: number, dy: number, size: PictureSize): Area {
  return wholeCrop({ ...crop, x: crop.x + dx, y: crop.y + dy }, size);
}

/** What an edge or a corner that is dragged makes of it; `ratio` is width to height, null for any. */
export function resizedCrop(crop: Area, handle: Handle, dx: number, dy: number, size: PictureSize, ratio: number | null): Area {
  const along = (start: number, length: number, side: -1 | 0 | 1, by: number, room: number) => {
    if (side < 0) return Math.min(length - by, start + length);
    return side > 0 ? Math.min(length + by, room - start) : length;
  };
  let width = Math.max(1, along(crop.x, crop.width, handle.x, dx, size.width));
  let height = Math.max(1, along(crop.y, crop.height, handle.y, dy, size.height));
  if (ratio !== null) {
    // A corner follows the pointer's larger way, an edge takes the other side along.
    const followsWidth = handle.y === 0 || (handle.x !== 0 && width / ratio >= height);
    if (followsWidth) height = width / ratio;
    else width = height * ratio;
    const room = (start: number, length: number, side: -1 | 0 | 1, whole: number) =>
      side < 0 ? start + length : side > 0 ? whole - start : 2 * Math.min(start + length / 2, whole - start - length / 2);
    const fits = Math.min(1, room(crop.x, crop.width, handle.x, size.width) / width, room(crop.y, crop.height, handle.y, size.height) / height);
    [width, height] = [width * fits, height * fits];
  }
  const place = (start: number, length: number, next: number, side: -1 | 0 | 1) =>
    side < 0 ? start + length - next : side > 0 ? start : start + (length - next) / 2;
  return wholeCrop({ x: place(crop.x, crop.width, width, handle.x), y: place(crop.y, crop.height, height, handle.y), width, height }, size);
}

/** A new part from one corner to another. */
export function drawnCrop(from: Spot, to: Spot, size: PictureSize, ratio: number | null): Area {
  const start = { x: clamped(from.x, 0, size.width), y: clamped(from.y, 0, size.height), width: 0, height: 0 };
  const handle = { x: to.x < from.x ? -1 : 1, y: to.y < from.y ? -1 : 1 } as const;
  return resizedCrop(start, handle, to.x - from.x, to.y - from.y, size, ratio);
}

/** The largest part of a shape around the same middle. */
export function shapedCrop(crop: Area, ratio: number, size: PictureSize): Area {
  const middle = { x: crop.x + crop.width / 2, y: crop.y + crop.height / 2 };
  const width = Math.min(Math.max(crop.width, crop.height * ratio), size.width, size.height * ratio);
  return wholeCrop({ x: middle.x - width / 2, y: middle.y - width / ratio / 2, width, height: width / ratio }, size);
}

/** As the file of a part says where it came from. */
export function cropText({ x, y, width, height }: Area): string {
  return [x, y, width, height].join(" ");
}

/** The same read back; null for what is no part of a picture of this size. */
export function cropFrom(text: string, size: PictureSize): Area | null {
  const [x = -1, y = -1, width = 0, height = 0] = text.split(" ").map(Number);
  const isInside = [x, y, width, height].every(Number.isInteger) && x >= 0 && y >= 0 && width > 0 && height > 0;
  return isInside && x + width <= size.width && y + height <= size.height ? { x, y, width, height } : null;
}

export function croppedPixels({ width, data }: Pixels, area: Area): Pixels {
  return { width: area.width, height: area.height, data: rows(data, width, area, 4, new Uint8ClampedArray(area.width * area.height * 4)) };
}

export function croppedMask({ width, data }: Mask, area: Area): Mask {
  return { width: area.width, height: area.height, data: rows(data, width, area, 1, new Uint8Array(area.width * area.height)) };
}

function rows<T extends Uint8Array | Uint8ClampedArray>(data: T, width: number, area: Area, channels: number, out: T): T {
  for (let row = 0; row < area.height; row++) {
    const from = ((area.y + row) * width + area.x) * channels;
    out.set(data.subarray(from, from + area.width * channels), row * area.width * channels);
  }
  return out;
}
