/** Rectangles by key in a uniform grid: what is in a region, without looking at everything. */

import { contains, overlaps, type Point, type Rect } from "./shapes";

const CELL = 512;
/** What covers more cells than this is kept in one list that every query looks at. */
const MAX_CELLS = 256;

interface Entry {
  readonly rect: Rect;
  readonly cells: readonly string[] | null;
}

export class SpatialIndex {
  private readonly entries = new Map<string, Entry>();
  private readonly cells = new Map<string, Set<string>>();
  private readonly large = new Set<string>();

  get size(): number {
    return this.entries.size;
  }

  put(key: string, rect: Rect): void {
    this.remove(key);
    const cells = cellsOf(rect);
    this.entries.set(key, { rect, cells });
    if (cells === null) this.large.add(key);
    for (const cell of cells ?? []) {
      const keys = this.cells.get(cell);
      if (keys === undefined) this.cells.set(cell, new Set([key]));
      else keys.add(key);
    }
  }

  remove(key: string): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    this.large.delete(key);
    for (const cell of entry.cells ?? []) {
      const keys = this.cells.get(cell);
      keys?.delete(key);
      if (keys?.size === 0) this.cells.delete(cell);
    }
  }

  clear(): void {
    this.entries.clear();
    this.cells.clear();
    this.large.clear();
  }

  rectOf(key: string): Rect | undefined {
    return this.entries.get(key)?.rect;
  }

  /** Keys of all rectangles that overlap `region`, in no particular order. */
  query(region: Rect): Set<string> {
    const found = new Set<string>();
    const cells = cellsOf(region);
    if (cells === null || cells.length > this.entries.size) {
      for (const [key, entry] of this.entries) if (overlaps(entry.rect, region)) found.add(key);
      return found;
    }
    const look = (key: string) => {
      if (!found.has(key) && overlaps((this.entries.get(key) as Entry).rect, region)) found.add(key);
    };
    this.large.forEach(look);
    for (const cell of cells) this.cells.get(cell)?.forEach(look);
    return found;
  }

  /** Keys of all rectangles a point is in. */
  at(point: Point): string[] {
    const near = [...this.large, ...(this.cells.get(cellKey(point.x, point.y)) ?? [])];
    return near.filter((key) => contains((this.entries.get(key) as Entry).rect, point));
  }
}

function cellKey(x: number, y: number): string {
  return `${Math.floor(x / CELL)} ${Math.floor(y / CELL)}`;
}

function cellsOf(rect: Rect): string[] | null {
  const [left, right] = [Math.floor(rect.x / CELL), Math.floor((rect.x + rect.width) / CELL)];
  const [top, bottom] = [Math.floor(rect.y / CELL), Math.floor((rect.y + rect.height) / CELL)];
  if ((right - left + 1) * (bottom - top + 1) > MAX_CELLS) return null;
  const found: string[] = [];
  for (let x = left; x <= right; x++) for (let y = top; y <= bottom; y++) found.push(`${x} ${y}`);
  return found;
}
