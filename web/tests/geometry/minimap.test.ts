import { describe, expect, it } from "vitest";
import { changesMap, frameOnMap, fromMap, mapScale, onMap } from "../../src/geometry/minimap";
import type { RecordOp } from "../../src/model/edit";

const SIZE = { width: 192, height: 128 };
const BOUNDS = { x: -400, y: 100, width: 4000, height: 1000 };
const before = { pos: [0, 0], widgets_values: [1] };
const change = (after: object | undefined) => ({ on: "nodes", graph: "", id: "1", at: 0, before, after }) as unknown as RecordOp;

describe("the map of a graph", () => {
  it("holds all of it, in the middle, and gives every place back", () => {
    const map = mapScale(BOUNDS, SIZE);
    const all = onMap(map, BOUNDS);
    expect([Math.round(all.x), Math.round(all.x + all.width)]).toEqual([8, 184]);
    expect(all.y + all.height / 2).toBeCloseTo(64);
    const back = fromMap(map, all);
    expect([back.x, back.y]).toEqual([expect.closeTo(-400), expect.closeTo(100)]);
  });

  it("does not blow up a graph of one node", () => {
    expect(onMap(mapScale({ x: 0, y: 0, width: 200, height: 100 }, SIZE), { x: 0, y: 0, width: 200, height: 100 }).width).toBe(32);
  });

  it("keeps a strip of the frame at its edge when what is seen lies outside", () => {
    const frame = frameOnMap(mapScale(BOUNDS, SIZE), SIZE, { x: 90000, y: -90000, width: 800, height: 600 });
    expect(frame).toEqual({ x: 186, y: 0, width: 6, height: 6 });
  });

  it("is drawn anew for places, sizes and colours, not for values and titles", () => {
    expect(changesMap(change({ ...before, widgets_values: [2], title: "x" }))).toBe(false);
    expect(changesMap(change({ ...before, pos: [1, 0] }))).toBe(true);
    expect(changesMap(change(undefined))).toBe(true);
  });
});
