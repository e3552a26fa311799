import { inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { textsOf } from "../../src/files/picture_metadata";
import { withTexts, writePng } from "../../src/files/png_writing";
import { emptyMask, invertedMask, maskedPixels, maskOf, paintStroke } from "../../src/model/mask";

const BRUSH = { radius: 3, softness: 0, erases: false };
const at = (mask: ReturnType<typeof emptyMask>, x: number, y: number) => mask.data[y * mask.width + x];

describe("a mask", () => {
  it("is painted along the way of the brush and nowhere else", () => {
    const mask = emptyMask(20, 10);
    const area = paintStroke(mask, { x: 4, y: 5 }, { x: 15, y: 5 }, BRUSH);
    expect([at(mask, 4, 5), at(mask, 10, 4), at(mask, 15, 6)]).toEqual([255, 255, 255]);
    expect([at(mask, 0, 5), at(mask, 10, 0), at(mask, 19, 5)]).toEqual([0, 0, 0]);
    expect(area).toEqual({ x: 0, y: 1, width: 19, height: 8 });
  });

  it("grows softer to the edge of a soft brush, and painting twice makes it no harder", () => {
    const mask = emptyMask(20, 20);
    const soft = { ...BRUSH, radius: 8, softness: 1 };
    paintStroke(mask, { x: 10, y: 10 }, { x: 10, y: 10 }, soft);
    const row = [10, 12, 14, 16].map((x) => at(mask, x, 10) as number);
    expect([...row].sort((a, b) => b - a)).toEqual(row);
    expect(new Set(row).size).toBe(4);
    const once = mask.data.slice();
    paintStroke(mask, { x: 10, y: 10 }, { x: 10, y: 10 }, soft);
    expect(mask.data).toEqual(once);
  });

  it("is erased, and inverting twice changes nothing", () => {
    const mask = emptyMask(9, 9);
    paintStroke(mask, { x: 4, y: 4 }, { x: 4, y: 4 }, BRUSH);
    expect(invertedMask(invertedMask(mask))).toEqual(mask);
    paintStroke(mask, { x: 4, y: 4 }, { x: 4, y: 4 }, { ...BRUSH, radius: 9, erases: true });
    expect(mask.data.every((value) => value === 0)).toBe(true);
  });

  it("painted outside of the picture changes nothing", () => {
    const mask = emptyMask(5, 5);
    expect(paintStroke(mask, { x: -50, y: 2 }, { x: -40, y: 2 }, BRUSH).width).toBe(0);
    expect(mask.data.every((value) => value === 0)).toBe(true);
  });
});

describe("a masked picture", () => {
  const pixels = { width: 2, height: 2, data: Uint8ClampedArray.from([9, 8, 7, 255, 1, 2, 3, 255, 4, 5, 6, 255, 255, 0, 128, 255]) };

  it("keeps its colours below the mask, and the mask is what is see-through", () => {
    const mask = { width: 2, height: 2, data: Uint8Array.from([255, 0, 100, 0]) };
    const masked = maskedPixels(pixels, mask);
    expect(Array.from(masked.data.subarray(0, 4))).toEqual([9, 8, 7, 0]);
    expect(maskOf(masked)).toEqual(mask);
    expect(inflatedRows(writePng(masked))).toEqual([...masked.data]);
  });

  it("is a PNG that says where its colours are from, and takes more texts", () => {
    const png = withTexts(writePng(pixels, new Map([["mask_source", "Бoat.png"]])), new Map([["workflow", "{}"]]));
    expect(textsOf(png)).toEqual(new Map([["mask_source", "Бoat.png"], ["workflow", "{}"]]));
  });
});

/** The colours of a PNG of two pixels a row, read by the rules of the format. */
function inflatedRows(png: Uint8Array): number[] {
  const buffer = Buffer.from(png);
  const start = buffer.indexOf("IDAT") + 4;
  const rows = inflateSync(buffer.subarray(start, start + buffer.readUInt32BE(start - 8)));
  return [0, 1].flatMap((y) => {
    const row = [...rows.subarray(y * 9 + 1, y * 9 + 9)];
    return row.map((value, i) => (i < 4 ? value : (value + (row[i - 4] as number)) & 255));
  });
}
