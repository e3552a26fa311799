import { zlibSync } from "fflate";
import { expect, it } from "vitest";
import { readPng } from "../../src/files/png_reading";
import { writePng } from "../../src/files/png_writing";
import { loadPicture } from "../../src/gallery/input_picture";
import { croppedMask, croppedPixels } from "../../src/model/crop";
import { maskedPixels, type Mask } from "../../src/model/mask";
import type { Pixels } from "../../src/model/pixels";
import { Session } from "../../src/app/session";
import { Client } from "../../src/server/client";

const PICTURE: Pixels = { width: 4, height: 3, data: Uint8ClampedArray.from({ length: 48 }, (_, i) => (i % 4 === 3 ? 255 : 5 * i)) };
const MASK: Mask = { width: 4, height: 3, data: Uint8Array.from({ length: 12 }, (_, i) => (i % 3 === 0 ? 255 : 40 * (i % 3))) };
const AREA = { x: 1, y: 1, width: 3, height: 2 };

/** The rows of the picture as one `kind` of filter writes them. */
const refiltered = (kind: number) => {
  const { width, height, data } = PICTURE;
  const at = (y: number, i: number) => (y < 0 || i < 0 ? 0 : (data[y * 4 * width + i] as number));
  const guess = (y: number, i: number) => {
    const [left, up, corner] = [at(y, i - 4), at(y - 1, i), at(y - 1, i - 4)];
    const near = [left, up, corner].sort((a, b) => Math.abs(left + up - corner - a) - Math.abs(left + up - corner - b));
    return [0, left, up, Math.floor((left + up) / 2), near[0] as number][kind] as number;
  };
  return Array.from({ length: height }, (_, y) => [kind, ...Array.from({ length: 4 * width }, (_v, i) => (at(y, i) - guess(y, i)) & 255)]).flat();
};

function withRows(png: Uint8Array, rows: readonly number[]): Uint8Array {
  const packed = zlibSync(Uint8Array.from(rows));
  const body = new Uint8Array(packed.length + 12);
  new DataView(body.buffer).setUint32(0, packed.length);
  body.set(new TextEncoder().encode("IDAT"), 4);
  body.set(packed, 8);
  return Uint8Array.from([...png.subarray(0, 33), ...body, ...png.subarray(png.length - 12)]);
}

it("a part cut out of a masked picture has the colours under its mask, whatever is painted on it next", async () => {
  const part = maskedPixels(croppedPixels(PICTURE, AREA), croppedMask(MASK, AREA));
  const png = writePng(part, new Map([["crop_source", "whole.png"]]));
  const session = new Session(new Client(() => Promise.resolve(new Response(png as BlobPart))), { nowMs: () => 0, random: () => 0 });
  const loaded = await loadPicture(session, { name: "part.png", addressOf: (name) => `/${name}`, done: () => undefined });
  expect(loaded.pixels).toEqual(part);
  expect(loaded.mask).toEqual(croppedMask(MASK, AREA));
  expect([...loaded.texts]).toEqual([["crop_source", "whole.png"]]);
});

it("files of all filters are read exactly, and those a canvas has to convert are left to it", () => {
  const png = writePng(PICTURE);
  expect(readPng(png)).toEqual(PICTURE);
  for (const kind of [0, 1, 2, 3, 4]) expect(readPng(withRows(png, refiltered(kind)))).toEqual(PICTURE);
  const palette = png.slice();
  palette[25] = 3;
  for (const data of [palette, png.subarray(0, png.length - 30), png.subarray(0, 20), new Uint8Array()]) expect(readPng(data)).toBeNull();
});
