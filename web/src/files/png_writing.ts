/** Writes PNG files: colours as they are, which a canvas does not keep where they are see-through, and texts. */

import { zlibSync } from "fflate";
import type { Pixels } from "../model/pixels";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** The signature and the header: texts after the colours are missed by many readers. */
const HEAD_BYTES = 33;

/** Eight bits a channel with opacity; `texts` by keyword. */
export function writePng({ width, height, data }: Pixels, texts: ReadonlyMap<string, string> = new Map()): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 6, 0, 0, 0], 8);
  return joined([Uint8Array.from(SIGNATURE), chunk("IHDR", header), ...textChunks(texts), chunk("IDAT", zlibSync(filtered(width, height, data))), chunk("IEND", new Uint8Array())]);
}

/** A PNG file with more texts in it; as tEXt they have to be ASCII. */
export function withTexts(png: Uint8Array, texts: ReadonlyMap<string, string>, kind: "iTXt" | "tEXt" = "iTXt"): Uint8Array {
  return joined([png.subarray(0, HEAD_BYTES), ...textChunks(texts, kind), png.subarray(HEAD_BYTES)]);
}

/** Rows as differences to their left neighbours, which pack well. */
function filtered(width: number, height: number, data: Uint8ClampedArray): Uint8Array {
  const row = 4 * width;
  const out = new Uint8Array((row + 1) * height);
  for (let y = 0; y < height; y++) {
    const [from, to] = [y * row, y * (row + 1)];
    out[to] = 1;
    for (let i = 0; i < row; i++) out[to + 1 + i] = (data[from + i] as number) - (i < 4 ? 0 : (data[from + i - 4] as number));
  }
  return out;
}

/** iTXt is UTF-8 by its standard, tEXt Latin 1. */
function textChunks(texts: ReadonlyMap<string, string>, kind: "iTXt" | "tEXt" = "iTXt"): Uint8Array[] {
  const gap = kind === "iTXt" ? "\0\0\0\0\0" : "\0";
  return [...texts].map(([name, text]) => chunk(kind, new TextEncoder().encode(`${name}${gap}${text}`)));
}

function chunk(kind: string, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(body.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  out.set(new TextEncoder().encode(kind), 4);
  out.set(body, 8);
  view.setUint32(body.length + 8, crc32(out.subarray(4, body.length + 8)));
  return out;
}

function crc32(data: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of data) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
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
