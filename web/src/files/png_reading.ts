/** Reads PNG files exactly: a canvas forgets the colours that it cannot see. */

import { unzlibSync } from "fflate";
import type { Pixels } from "../model/pixels";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const CHANNELS = 4;
/** Eight bits a channel, colours with opacity, packed and filtered as usual, row after row. */
const KIND = [8, 6, 0, 0, 0];
/** What would have to be done to the colours of such files is left to the browser. */
const CONVERTED: ReadonlySet<string> = new Set(["iCCP", "gAMA", "cHRM", "cICP", "eXIf", "acTL"]);
const latin1 = new TextDecoder("latin1");

/** The colours of a file that has eight bits a channel and opacity; null for all others. Throws nothing. */
export function readPng(data: Uint8Array): Pixels | null {
  try {
    return SIGNATURE.every((byte, i) => data[i] === byte) ? pixelsFrom(data) : null;
  } catch {
    return null;
  }
}

function pixelsFrom(data: Uint8Array): Pixels | null {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  if (!KIND.every((byte, i) => data[24 + i] === byte)) return null;
  const parts: Uint8Array[] = [];
  let isWhole = false;
  for (let at = 8; !isWhole && at + 12 <= data.length; ) {
    const length = view.getUint32(at);
    const kind = latin1.decode(data.subarray(at + 4, at + 8));
    if (CONVERTED.has(kind)) return null;
    if (kind === "IDAT") parts.push(data.subarray(at + 8, at + 8 + length));
    isWhole = kind === "IEND";
    at += length + 12;
  }
  const row = CHANNELS * width + 1;
  const rows = unzlibSync(joined(parts));
  return isWhole && rows.length === row * height ? unfiltered(width, height, rows) : null;
}

/** The rows without what says how each is filtered; null where that is unknown. */
function unfiltered(width: number, height: number, rows: Uint8Array): Pixels | null {
  const row = CHANNELS * width;
  const out = new Uint8ClampedArray(row * height);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (row + 1)] as number;
    if (filter > 4) return null;
    const from = y * (row + 1) + 1;
    const to = y * row;
    for (let i = 0; i < row; i++) {
      const left = i < CHANNELS ? 0 : (out[to + i - CHANNELS] as number);
      const up = y === 0 ? 0 : (out[to + i - row] as number);
      const corner = i < CHANNELS || y === 0 ? 0 : (out[to + i - row - CHANNELS] as number);
      out[to + i] = ((rows[from + i] as number) + expected(filter, left, up, corner)) & 255;
    }
  }
  return { width, height, data: out };
}

/** What a byte is expected to be by its neighbours (PNG specification, section 9). */
function expected(filter: number, left: number, up: number, corner: number): number {
  switch (filter) {
    case 1: return left;
    case 2: return up;
    case 3: return (left + up) >> 1;
    case 4: {
      const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
      if (toLeft <= toUp && toLeft <= toCorner) return left;
      return toUp <= toCorner ? up : corner;
    }
    default: return 0;
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
