/** Texts that pictures and latents carry: PNG chunks, WebP EXIF, SVG metadata, headers of safetensors. Reads anything, throws nothing. */

import { inflateSync, unzlibSync } from "fflate";
import { svgTexts } from "./workflow_pictures";

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** How a text of markup begins: blank, "<", or the mark of UTF-8. */
const LESS_THAN = [0x09, 0x0a, 0x0d, 0x20, 0x3c, 0xef];
/** More than any workflow needs; what unpacks to more is left out. */
const MAX_TEXT_BYTES = 64 * 1024 * 1024;
const MAX_HEADER_BYTES = 100 * 1024 * 1024;
const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder();

/** Texts by keyword ("workflow", "prompt" …); empty for files that carry none. */
export function textsOf(data: Uint8Array): ReadonlyMap<string, string> {
  try {
    if (PNG.every((byte, i) => data[i] === byte)) return pngTexts(data);
    if (ascii(data, 0, 4) === "RIFF" && ascii(data, 8, 4) === "WEBP") return webpTexts(data);
    if (LESS_THAN.includes(data[0] as number)) return svgTexts(utf8.decode(data)) ?? headerTexts(data);
    return headerTexts(data);
  } catch {
    return new Map();
  }
}

function ascii(data: Uint8Array, at: number, length: number): string {
  return latin1.decode(data.subarray(at, at + length));
}

function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

function pngTexts(data: Uint8Array): Map<string, string> {
  const found = new Map<string, string>();
  const view = viewOf(data);
  for (let at = 8; at + 12 <= data.length; ) {
    const length = view.getUint32(at);
    const kind = ascii(data, at + 4, 4);
    const body = data.subarray(at + 8, at + 8 + length);
    const text = kind === "tEXt" || kind === "zTXt" || kind === "iTXt" ? pngText(kind, body) : null;
    if (text !== null) found.set(...text);
    if (kind === "IEND") break;
    at += length + 12;
  }
  return found;
}

function pngText(kind: "tEXt" | "zTXt" | "iTXt", body: Uint8Array): [string, string] | null {
  const end = body.indexOf(0);
  if (end < 1) return null;
  const keyword = latin1.decode(body.subarray(0, end));
  // Files of this family write UTF-8 into tEXt although the standard says Latin 1.
  if (kind === "tEXt") return [keyword, decoded(body.subarray(end + 1))];
  if (kind === "zTXt") return [keyword, decoded(unpacked(body.subarray(end + 2)))];
  const language = body.indexOf(0, end + 3);
  const translated = body.indexOf(0, language + 1);
  if (language < 0 || translated < 0) return null;
  const text = body.subarray(translated + 1);
  return [keyword, utf8.decode(body[end + 1] === 1 ? unpacked(text) : text)];
}

function unpacked(data: Uint8Array): Uint8Array {
  // A size that is given is never passed: what is longer is cut, and is then no JSON.
  const size = Math.min(MAX_TEXT_BYTES, data.length * 1032 + 64);
  const out = new Uint8Array(size);
  return (data[0] === 0x78 ? unzlibSync(data, { out }) : inflateSync(data, { out }));
}

function decoded(data: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(data);
  } catch {
    return latin1.decode(data);
  }
}

function webpTexts(data: Uint8Array): Map<string, string> {
  const view = viewOf(data);
  for (let at = 12; at + 8 <= data.length; ) {
    const length = view.getUint32(at + 4, true);
    if (ascii(data, at, 4) === "EXIF") return exifTexts(data.subarray(at + 8, at + 8 + length));
    at += 8 + length + (length % 2);
  }
  return new Map();
}

const ASCII_TYPE = 2;

/** Entries of the first directory of the form "workflow:{…}", as this family of programs writes them. */
export function exifTexts(block: Uint8Array): Map<string, string> {
  const data = ascii(block, 0, 4) === "Exif" ? block.subarray(6) : block;
  const view = viewOf(data);
  const isLittle = ascii(data, 0, 2) === "II";
  const found = new Map<string, string>();
  const start = view.getUint32(4, isLittle);
  const count = view.getUint16(start, isLittle);
  for (let i = 0; i < count; i++) {
    const at = start + 2 + i * 12;
    if (view.getUint16(at + 2, isLittle) !== ASCII_TYPE) continue;
    const length = view.getUint32(at + 4, isLittle);
    const place = length <= 4 ? at + 8 : view.getUint32(at + 8, isLittle);
    const text = decoded(data.subarray(place, place + length)).replace(/\0+$/, "");
    const colon = text.indexOf(":");
    if (colon > 0) found.set(text.slice(0, colon).toLowerCase(), text.slice(colon + 1));
  }
  return found;
}

/** The metadata of a safetensors file (latents). */
function headerTexts(data: Uint8Array): Map<string, string> {
  const length = Number(viewOf(data).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES || length + 8 > data.length) return new Map();
  const header: unknown = JSON.parse(utf8.decode(data.subarray(8, 8 + length)));
  const texts = (header as { __metadata__?: Record<string, unknown> } | null)?.__metadata__ ?? {};
  return new Map(Object.entries(texts).filter((pair): pair is [string, string] => typeof pair[1] === "string"));
}
