/** Draws what differs from another state of the graph: frames with a sign, changed values below, and what is gone. */

import { moved, type Rect } from "../geometry/shapes";
import type { Scene } from "../geometry/scene";
import type { NodeChange } from "../model/diff";
import { METRICS } from "../geometry/node_shape";
import { DARK_TEXT, type Theme } from "./theme";

const CHANGED = "#e69f00";
const SIGNS = { added: "+", removed: "−", changed: "~", moved: "" } as const;
const MAX_LINES = 6;
const MAX_TEXT = 42;
const LINE = 16;
const VALUES_FROM = 0.35;

/** `changes` are those of the shown graph; the canvas is in world units. */
export function paintChanges(
  canvas: CanvasRenderingContext2D, scene: Scene, changes: readonly NodeChange[], zoom: number, theme: Theme,
): void {
  for (const change of changes) {
    if (change.kind === "moved") continue;
    const placed = scene.node(change.node);
    const box = change.kind === "removed"
      ? { x: change.at.x, y: change.at.y - METRICS.title, width: change.at.width, height: change.at.height + METRICS.title }
      : placed === undefined ? null : moved(placed.shape.outer, placed.at.x, placed.at.y);
    if (box === null) continue;
    const color = change.kind === "added" ? theme.good : change.kind === "removed" ? theme.danger : CHANGED;
    paintFrame(canvas, box, change, color, zoom, theme);
    if (change.kind === "changed" && zoom >= VALUES_FROM) paintValues(canvas, box, change, theme);
  }
}

function paintFrame(canvas: CanvasRenderingContext2D, box: Rect, change: NodeChange, color: string, zoom: number, theme: Theme): void {
  canvas.strokeStyle = color;
  canvas.lineWidth = Math.max(3, 2 / zoom);
  canvas.setLineDash(change.kind === "removed" ? [8, 6] : []);
  canvas.beginPath();
  canvas.roundRect(box.x - 3, box.y - 3, box.width + 6, box.height + 6, 10);
  canvas.stroke();
  canvas.setLineDash([]);
  if (change.kind === "removed") {
    canvas.fillStyle = theme.danger;
    canvas.font = "600 13px system-ui, sans-serif";
    canvas.textBaseline = "middle";
    canvas.textAlign = "left";
    canvas.fillText(change.title, box.x + 12, box.y + METRICS.title / 2, box.width - 24);
  }
  const radius = Math.max(9, 7 / zoom);
  canvas.fillStyle = color;
  canvas.beginPath();
  canvas.arc(box.x, box.y, radius, 0, 2 * Math.PI);
  canvas.fill();
  canvas.fillStyle = DARK_TEXT;
  canvas.font = `700 ${radius * 1.5}px system-ui, sans-serif`;
  canvas.textAlign = "center";
  canvas.textBaseline = "middle";
  canvas.fillText(SIGNS[change.kind], box.x, box.y);
}

function paintValues(canvas: CanvasRenderingContext2D, box: Rect, { values }: NodeChange, theme: Theme): void {
  const lines = values.slice(0, MAX_LINES).map((value) => `${value.name}: ${shortValue(value.before)} → ${shortValue(value.after)}`);
  if (values.length > MAX_LINES) lines.push("…");
  if (lines.length === 0) return;
  canvas.font = "12px system-ui, sans-serif";
  const width = Math.max(...lines.map((line) => canvas.measureText(line).width)) + 16;
  const top = box.y + box.height + 8;
  canvas.fillStyle = theme.node;
  canvas.strokeStyle = CHANGED;
  canvas.lineWidth = 1;
  canvas.beginPath();
  canvas.roundRect(box.x, top, width, lines.length * LINE + 8, 6);
  canvas.fill();
  canvas.stroke();
  canvas.fillStyle = theme.text;
  canvas.textAlign = "left";
  canvas.textBaseline = "middle";
  lines.forEach((line, i) => canvas.fillText(line, box.x + 8, top + 4 + (i + 0.5) * LINE));
}

/** A value in a line: the beginning of a text, a dash for none. */
export function shortValue(value: unknown): string {
  if (value === undefined || value === null || value === "") return "–";
  const text = (typeof value === "object" ? JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? String(item) : item)) : String(value)).replaceAll("\n", " ");
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}
