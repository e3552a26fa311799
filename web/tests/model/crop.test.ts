import { describe, expect, it } from "vitest";
import { cropFrom, croppedMask, croppedPixels, cropText, drawnCrop, HANDLES, movedCrop, resizedCrop, shapedCrop, wholeCrop } from "../../src/model/crop";
import { emptyMask } from "../../src/model/mask";

const SIZE = { width: 640, height: 480 };
const CROP = { x: 100, y: 100, width: 200, height: 100 };
const RIGHT = { x: 1, y: 0 } as const;
const CORNER = { x: 1, y: 1 } as const;

describe("a part of a picture", () => {
  it("stays inside, wherever it is moved", () => {
    expect(movedCrop(CROP, -500, 900, SIZE)).toEqual({ x: 0, y: 380, width: 200, height: 100 });
  });

  it("ends at the edge of the picture, and opposite edges stay", () => {
    expect(resizedCrop(CROP, RIGHT, 9999, 50, SIZE, null)).toEqual({ x: 100, y: 100, width: 540, height: 100 });
    expect(resizedCrop(CROP, { x: -1, y: -1 }, 250, -30, SIZE, null)).toEqual({ x: 299, y: 70, width: 1, height: 130 });
  });

  it("keeps its shape at every handle, and never leaves the picture for it", () => {
    for (const handle of HANDLES) {
      for (const [dx, dy] of [[80, 30], [-60, 70], [2000, 2000], [-2000, -2000]] as const) {
        const { x, y, width, height } = resizedCrop(CROP, handle, dx, dy, SIZE, 2);
        expect(Math.abs(width - 2 * height)).toBeLessThanOrEqual(2);
        expect([x >= 0, y >= 0, x + width <= 640, y + height <= 480]).toEqual([true, true, true, true]);
      }
    }
    expect(resizedCrop(CROP, CORNER, 100, 0, SIZE, 2)).toEqual({ x: 100, y: 100, width: 300, height: 150 });
    expect(resizedCrop(CROP, RIGHT, 40, 0, SIZE, 2)).toEqual({ x: 100, y: 90, width: 240, height: 120 });
  });

  it("is drawn from any corner to any other", () => {
    expect(drawnCrop({ x: 300, y: 200 }, { x: 100, y: 50 }, SIZE, null)).toEqual({ x: 100, y: 50, width: 200, height: 150 });
    expect(drawnCrop({ x: 300, y: 200 }, { x: 400, y: 210 }, SIZE, 1)).toEqual({ x: 300, y: 200, width: 100, height: 100 });
  });

  it("takes another shape around its middle", () => {
    expect(shapedCrop(CROP, 1, SIZE)).toEqual({ x: 100, y: 50, width: 200, height: 200 });
    expect(shapedCrop({ x: 0, y: 0, ...SIZE }, 16 / 9, SIZE)).toEqual({ x: 0, y: 60, width: 640, height: 360 });
  });

  it("is read back from the file it went into, and only where it fits", () => {
    expect(cropFrom(cropText(CROP), SIZE)).toEqual(CROP);
    for (const text of ["", "0 0 0 0", "600 0 100 10", "-1 0 5 5", "1.5 0 5 5", "x"]) expect(cropFrom(text, SIZE)).toBeNull();
    expect(wholeCrop({ x: 0.4, y: -3, width: 0.2, height: 9999 }, SIZE)).toEqual({ x: 0, y: 0, width: 1, height: 480 });
  });

  it("has the colours and the mask of its place", () => {
    const pixels = { width: 3, height: 2, data: Uint8ClampedArray.from(Array.from({ length: 24 }, (_, i) => i)) };
    expect([...croppedPixels(pixels, { x: 1, y: 1, width: 2, height: 1 }).data]).toEqual([16, 17, 18, 19, 20, 21, 22, 23]);
    const mask = emptyMask(3, 2);
    mask.data[4] = 9;
    expect([...croppedMask(mask, { x: 1, y: 0, width: 1, height: 2 }).data]).toEqual([0, 9]);
  });
});
