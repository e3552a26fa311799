import { describe, expect, it } from "vitest";
import { contains, type Rect } from "../../src/geometry/shapes";
import { firstView, fitted, visibleRect } from "../../src/geometry/viewport";

const corners = ({ x, y, width, height }: Rect) => [{ x, y }, { x: x + width, y: y + height }];
const shows = (rect: Rect, size: { width: number; height: number }, part: Rect, anchor: Rect | null) => {
  const seen = visibleRect(firstView(rect, size, anchor), size);
  return corners(part).every((corner) => contains(seen, corner));
};

describe("what is seen of a graph first", () => {
  const graph = { x: -100, y: 50, width: 1400, height: 800 };
  it("is all of it while it stays readable, never enlarged", () => {
    expect(shows(graph, { width: 1200, height: 800 }, graph, null)).toBe(true);
    expect(firstView({ ...graph, width: 100, height: 100 }, { width: 1200, height: 800 }, null).zoom).toBe(1);
  });
  it("is its readable upper left part when all of it would be too small", () => {
    const size = { width: 644, height: 730 };
    const view = firstView(graph, size, null);
    expect(view.zoom).toBeGreaterThan(0.5);
    expect([view.x, view.y]).toEqual([expect.closeTo(-100 - 644 / 24 / view.zoom), expect.closeTo(450 - 365 / view.zoom)]);
  });
  it("reaches as far as the words are", () => {
    const words = { x: 900, y: 400, width: 300, height: 200 };
    expect(shows(graph, { width: 360, height: 600 }, words, words)).toBe(true);
    expect(shows(graph, { width: 360, height: 600 }, words, null)).toBe(false);
  });
});

describe("a graph fitted into the canvas", () => {
  const size = { width: 1000, height: 800 };
  it("leaves the lower edge to the map where there is room, without being smaller for it", () => {
    const low = { x: 0, y: 0, width: 1840, height: 400 };
    const [plain, lifted] = [fitted(low, size), fitted(low, size, 40, 150)];
    expect([lifted.zoom, lifted.x]).toEqual([plain.zoom, plain.x]);
    expect((400 - lifted.y) * lifted.zoom).toBeLessThan(800 - 150);
    const high = { x: 0, y: 0, width: 100, height: 700 };
    expect(fitted(high, size, 40, 150).y * -1).toBeGreaterThanOrEqual(40);
    expect(fitted({ ...high, height: 3000 }, size, 40, 150)).toEqual(fitted({ ...high, height: 3000 }, size));
  });
});
