/** Draws what lies above the nodes: selection, run states and progress, guides, the link in hand, sockets that fit. */

import type { Guide } from "../geometry/snapping";
import { METRICS, type NodeShape } from "../geometry/node_shape";
import { grown, moved, spanned, type Rect } from "../geometry/shapes";
import type { Scene } from "../geometry/scene";
import { visibleRect, type Size, type Viewport } from "../geometry/viewport";
import type { LinkEnd } from "../interaction/effects";
import type { Gesture } from "../interaction/gesture_state";
import type { LinkId, NodeId } from "../model/records";
import { shortWhy, type BadgeWords } from "../model/reasons";
import type { NodeRun } from "../model/run_facts";
import type { Selection } from "../model/selection";
import { typesFit } from "../model/socket_types";
import { toWorldUnits } from "./painter";
import { textOn, typeColor, type Theme } from "./theme";

export interface Overlay {
  readonly scene: Scene;
  readonly viewport: Viewport;
  readonly size: Size;
  readonly pixelRatio: number;
  readonly selection: Selection;
  readonly gesture: Gesture;
  readonly guides: readonly Guide[];
  /** The link a dragged node would be put on. */
  readonly insertion: LinkId | null;
  readonly runOf: (node: NodeId) => NodeRun | undefined;
  /** What a node would do in the next run, while that is shown instead of what it did. */
  readonly foreseen: ((node: NodeId) => string | null) | null;
  readonly faulty: ReadonlySet<NodeId>;
  readonly words: BadgeWords;
}

const BADGES_FROM = 0.4;
/** Less memory is not worth a word. */
const LEAST_SAID = 1_000_000;

export function paintOverlay(canvas: CanvasRenderingContext2D, overlay: Overlay, theme: Theme): void {
  const { size, pixelRatio, scene, viewport } = overlay;
  canvas.setTransform(1, 0, 0, 1, 0, 0);
  canvas.clearRect(0, 0, size.width * pixelRatio, size.height * pixelRatio);
  toWorldUnits(canvas, overlay);
  const visible = scene.visible(visibleRect(viewport, size));
  paintChosenLinks(canvas, overlay, visible.links, theme);
  for (const id of overlay.selection.groups) outline(canvas, scene.group(id), theme.accent, 1.5 / viewport.zoom, 12);
  for (const id of overlay.selection.reroutes) {
    const at = scene.reroute(id);
    if (at !== undefined) ring(canvas, at.x, at.y, METRICS.rerouteRadius + 3, theme.accent, 2);
  }
  for (const id of visible.nodes) paintState(canvas, overlay, id, theme);
  paintGesture(canvas, overlay, visible.nodes, theme);
}

function paintChosenLinks(canvas: CanvasRenderingContext2D, overlay: Overlay, ids: readonly LinkId[], theme: Theme): void {
  const { scene, selection, insertion, viewport } = overlay;
  if (selection.links.size === 0 && insertion === null) return;
  canvas.strokeStyle = theme.accent;
  canvas.lineWidth = Math.max(4, 2 / viewport.zoom);
  canvas.beginPath();
  for (const id of ids) {
    if (id !== insertion && !selection.links.has(id)) continue;
    for (const { from, to, handleFrom, handleTo } of scene.curve(id)?.segments ?? []) {
      canvas.moveTo(from.x, from.y);
      canvas.bezierCurveTo(handleFrom.x, handleFrom.y, handleTo.x, handleTo.y, to.x, to.y);
    }
  }
  canvas.stroke();
}

function paintState(canvas: CanvasRenderingContext2D, overlay: Overlay, id: NodeId, theme: Theme): void {
  const { scene, selection, viewport, faulty } = overlay;
  const placed = scene.node(id);
  if (placed === undefined) return;
  const run = overlay.runOf(id);
  const box = moved(placed.shape.outer, placed.at.x, placed.at.y);
  const isFaulty = faulty.has(id) || run?.state === "failed";
  const edge = isFaulty ? theme.danger : run?.state === "running" || selection.nodes.has(id) ? theme.accent : null;
  if (edge !== null) outline(canvas, box, edge, Math.max(1.5, 1.5 / viewport.zoom), 9);
  if (run?.state === "running") paintProgress(canvas, box, placed.shape, run.progress, theme);
  if (viewport.zoom < BADGES_FROM) return;
  const foreseen = overlay.foreseen?.(id) ?? null;
  if (foreseen !== null) paintBadge(canvas, box, foreseen, foreseen === overlay.words.cached ? theme.quiet : theme.accent);
  else if (run !== undefined && overlay.foreseen === null) {
    paintBadge(canvas, box, badgeOf(run, overlay.words), run.state === "failed" ? theme.danger : run.state === "running" ? theme.accent : theme.quiet);
  }
}

/** A bar along the lower edge of the title; without a number a short piece, still: nothing moves by itself. */
function paintProgress(
  canvas: CanvasRenderingContext2D, box: Rect, shape: NodeShape, progress: number | null, theme: Theme,
): void {
  const y = box.y + Math.max(shape.titleHeight, 4) - 3;
  canvas.globalAlpha = 0.25;
  canvas.fillStyle = theme.accent;
  canvas.fillRect(box.x, y, box.width, 3);
  canvas.globalAlpha = 1;
  canvas.fillRect(box.x, y, box.width * (progress ?? 0.08), 3);
}

function paintBadge(canvas: CanvasRenderingContext2D, box: Rect, text: string | null, color: string): void {
  if (text === null) return;
  canvas.font = "500 11px system-ui, sans-serif";
  canvas.textAlign = "right";
  canvas.textBaseline = "middle";
  canvas.fillStyle = color;
  canvas.fillText(text, box.x + box.width - 2, box.y - 9);
}

/** What the run says about a node in a word; null for nothing. */
export function badgeOf(run: NodeRun, words: BadgeWords): string | null {
  switch (run.state) {
    case "cached": return words.cached;
    case "ran": {
      const time = run.durationS === null ? words.ran : words.time(run.durationS);
      const why = run.why === null ? "" : shortWhy(run.why, words);
      const size = run.heldBytes === null || run.heldBytes < LEAST_SAID ? "" : words.size(run.heldBytes);
      return [why, time, size].filter((text) => text !== "").join(" · ");
    }
    case "running": return run.progress === null ? words.running : `${Math.round(run.progress * 100)} %`;
    case "failed": return words.failed;
    case null: return null;
  }
}

// ------------------------------------------------------------------ gestures

function paintGesture(canvas: CanvasRenderingContext2D, overlay: Overlay, nodes: readonly NodeId[], theme: Theme): void {
  const { gesture, guides, viewport } = overlay;
  canvas.lineWidth = 1 / viewport.zoom;
  canvas.strokeStyle = theme.accent;
  canvas.beginPath();
  for (const { axis, at, from, to } of guides) {
    canvas.moveTo(axis === "x" ? at : from, axis === "x" ? from : at);
    canvas.lineTo(axis === "x" ? at : to, axis === "x" ? to : at);
  }
  canvas.stroke();
  if (gesture.is === "boxing") {
    const box = spanned(gesture.start, gesture.now);
    canvas.globalAlpha = 0.12;
    canvas.fillStyle = theme.accent;
    canvas.fillRect(box.x, box.y, box.width, box.height);
    canvas.globalAlpha = 1;
    canvas.strokeRect(box.x, box.y, box.width, box.height);
  } else if (gesture.is === "linking") paintLinkInHand(canvas, overlay, gesture, nodes, theme);
}

function paintLinkInHand(
  canvas: CanvasRenderingContext2D, overlay: Overlay, gesture: Gesture & { is: "linking" }, nodes: readonly NodeId[], theme: Theme,
): void {
  const { scene, viewport } = overlay;
  const { from, target } = gesture;
  for (const id of nodes) lightSockets(canvas, scene, id, from);
  const start = scene.socketAt(from.node, from.side, from.slot);
  if (start === null) return;
  const end = target?.at ?? gesture.now;
  const reach = Math.max(30, Math.abs(end.x - start.x) * 0.4) * (from.side === "output" ? 1 : -1);
  canvas.lineWidth = Math.max(2.5, 1.5 / viewport.zoom);
  canvas.strokeStyle = typeColor(from.type);
  canvas.beginPath();
  canvas.moveTo(start.x, start.y);
  canvas.bezierCurveTo(start.x + reach, start.y, end.x - reach, end.y, end.x, end.y);
  canvas.stroke();
  if (target !== null) {
    ring(canvas, target.at.x, target.at.y, METRICS.socketRadius + 5, theme.accent, 2.5);
    return;
  }
  canvas.font = `500 ${12 / viewport.zoom}px system-ui, sans-serif`;
  const pad = 6 / viewport.zoom;
  const width = canvas.measureText(from.type).width + 2 * pad;
  const [x, y] = [end.x + 14 / viewport.zoom, end.y + 6 / viewport.zoom];
  canvas.fillStyle = typeColor(from.type);
  canvas.beginPath();
  canvas.roundRect(x, y, width, 20 / viewport.zoom, 4 / viewport.zoom);
  canvas.fill();
  canvas.fillStyle = textOn(typeColor(from.type));
  canvas.textAlign = "left";
  canvas.textBaseline = "middle";
  canvas.fillText(from.type, x + pad, y + 10 / viewport.zoom);
}

/** Rings around the sockets of a node that take the link. */
function lightSockets(canvas: CanvasRenderingContext2D, scene: Scene, id: NodeId, from: LinkEnd): void {
  const placed = scene.node(id);
  if (placed === undefined || id === from.node) return;
  const spots = from.side === "output" ? placed.shape.inputs : placed.shape.outputs;
  for (const spot of spots) {
    const fits = from.side === "output" ? typesFit(from.type, spot.type) : typesFit(spot.type, from.type);
    if (!fits) continue;
    const [x, y] = [placed.at.x + spot.x, placed.at.y + spot.y];
    const color = typeColor(spot.type === "*" || spot.type === "" ? from.type : spot.type);
    canvas.globalAlpha = 0.3;
    canvas.fillStyle = color;
    canvas.beginPath();
    canvas.arc(x, y, METRICS.socketRadius + 6, 0, 2 * Math.PI);
    canvas.fill();
    canvas.globalAlpha = 1;
    ring(canvas, x, y, METRICS.socketRadius + 2, color, 2);
  }
}

function outline(canvas: CanvasRenderingContext2D, rect: Rect | undefined, color: string, width: number, radius: number): void {
  if (rect === undefined) return;
  const box = grown(rect, 1);
  canvas.beginPath();
  canvas.roundRect(box.x, box.y, box.width, box.height, Math.min(radius, box.height / 2));
  canvas.strokeStyle = color;
  canvas.lineWidth = width;
  canvas.stroke();
}

function ring(canvas: CanvasRenderingContext2D, x: number, y: number, radius: number, color: string, width: number): void {
  canvas.beginPath();
  canvas.arc(x, y, radius, 0, 2 * Math.PI);
  canvas.strokeStyle = color;
  canvas.lineWidth = width;
  canvas.stroke();
}
