/** Draws what is visible of a scene on one 2D canvas: groups, links batched by colour, nodes by level of detail. */

import type { Scene } from "../geometry/scene";
import { METRICS, type NodeShape } from "../geometry/node_shape";
import { spanned, type Point, type Rect } from "../geometry/shapes";
import type { Guide } from "../geometry/snapping";
import { visibleRect, type Size, type Viewport } from "../geometry/viewport";
import type { Gesture } from "../interaction/gesture_state";
import type { Catalog } from "../model/catalog";
import { colorOf, isKnownNode, modeOf, titleOf } from "../model/node_reading";
import { MODE, type NodeId, type NodeRecord, type WorkflowDocument } from "../model/records";
import type { Selection } from "../model/selection";
import { widgetsOf, type WidgetContext } from "../model/widgets";
import { editorText } from "../model/widget_plan";
import { typeColor, type Theme } from "./theme";

export interface Picture {
  readonly scene: Scene;
  readonly context: WidgetContext;
  readonly viewport: Viewport;
  readonly size: Size;
  readonly pixelRatio: number;
  readonly selection: Selection;
  readonly gesture: Gesture;
  readonly guides: readonly Guide[];
  readonly running: NodeId | null;
  readonly faulty: ReadonlySet<NodeId>;
}

/** Below these zooms texts of rows and then everything but a block is left out. */
const ROWS_FROM = 0.55;
const TITLES_FROM = 0.25;
const GRID = 40;

export function paint(canvas: CanvasRenderingContext2D, picture: Picture, theme: Theme): void {
  const { viewport, size, pixelRatio, scene } = picture;
  const scale = viewport.zoom * pixelRatio;
  canvas.setTransform(1, 0, 0, 1, 0, 0);
  canvas.fillStyle = theme.canvas;
  canvas.fillRect(0, 0, size.width * pixelRatio, size.height * pixelRatio);
  canvas.setTransform(scale, 0, 0, scale, -viewport.x * scale, -viewport.y * scale);
  const region = visibleRect(viewport, size);
  if (viewport.zoom > 0.4) paintGrid(canvas, region, theme);
  const visible = scene.visible(region);
  for (const id of visible.groups) paintGroup(canvas, picture, id, theme);
  paintLinks(canvas, picture, visible.links, theme);
  for (const id of visible.reroutes) paintPoint(canvas, scene.reroute(id) as Point, picture.selection.reroutes.has(id), theme);
  for (const id of visible.nodes) paintNode(canvas, picture, id, theme);
  paintGesture(canvas, picture, theme);
}

function paintGrid(canvas: CanvasRenderingContext2D, region: Rect, theme: Theme): void {
  canvas.beginPath();
  for (let x = Math.floor(region.x / GRID) * GRID; x < region.x + region.width; x += GRID) {
    canvas.moveTo(x, region.y);
    canvas.lineTo(x, region.y + region.height);
  }
  for (let y = Math.floor(region.y / GRID) * GRID; y < region.y + region.height; y += GRID) {
    canvas.moveTo(region.x, y);
    canvas.lineTo(region.x + region.width, y);
  }
  canvas.strokeStyle = theme.grid;
  canvas.lineWidth = 1;
  canvas.stroke();
}

function paintGroup(canvas: CanvasRenderingContext2D, picture: Picture, id: string, theme: Theme): void {
  const rect = picture.scene.group(id) as Rect;
  const record = picture.scene.graph.groups.byId.get(id);
  const color = (record && colorOf(record)) ?? theme.quiet;
  canvas.globalAlpha = 0.18;
  canvas.fillStyle = color;
  canvas.fillRect(rect.x, rect.y, rect.width, rect.height);
  canvas.globalAlpha = 1;
  canvas.strokeStyle = picture.selection.groups.has(id) ? theme.accent : color;
  canvas.lineWidth = 1;
  canvas.strokeRect(rect.x, rect.y, rect.width, rect.height);
  if (picture.viewport.zoom < TITLES_FROM) return;
  canvas.fillStyle = color;
  canvas.font = "600 16px system-ui, sans-serif";
  canvas.textAlign = "left";
  canvas.fillText(fittedText(String(record?.title ?? ""), rect.width - 16), rect.x + 8, rect.y + 20);
}

function paintLinks(canvas: CanvasRenderingContext2D, picture: Picture, ids: readonly string[], theme: Theme): void {
  const { scene, selection } = picture;
  const byColor = new Map<string, Path2D>();
  for (const id of ids) {
    const curve = scene.curve(id);
    const link = scene.graph.links.byId.get(id);
    if (curve === undefined || link === undefined) continue;
    const color = selection.links.has(id) ? theme.accent : typeColor(String(link.type ?? "*"));
    let path = byColor.get(color);
    if (path === undefined) byColor.set(color, (path = new Path2D()));
    for (const { from, to, handleFrom, handleTo } of curve.segments) {
      path.moveTo(from.x, from.y);
      path.bezierCurveTo(handleFrom.x, handleFrom.y, handleTo.x, handleTo.y, to.x, to.y);
    }
  }
  canvas.lineWidth = Math.max(2, 1 / picture.viewport.zoom);
  for (const [color, path] of byColor) {
    canvas.strokeStyle = color;
    canvas.stroke(path);
  }
}

function paintPoint(canvas: CanvasRenderingContext2D, at: Point, isSelected: boolean, theme: Theme): void {
  canvas.beginPath();
  canvas.arc(at.x, at.y, METRICS.rerouteRadius, 0, 2 * Math.PI);
  canvas.fillStyle = isSelected ? theme.accent : theme.quiet;
  canvas.fill();
}

function paintNode(canvas: CanvasRenderingContext2D, picture: Picture, id: NodeId, theme: Theme): void {
  const { scene, context, viewport, selection } = picture;
  const placed = scene.node(id);
  if (placed === undefined) return;
  const { shape, at } = placed;
  const record = scene.graph.nodes.byId.get(id);
  const mode = record === undefined ? MODE.always : modeOf(record);
  canvas.save();
  canvas.translate(at.x, at.y);
  canvas.globalAlpha = mode === MODE.muted ? 0.35 : mode === MODE.bypassed ? 0.6 : 1;
  paintFrame(canvas, shape, record, theme);
  const edge = edgeOf(picture, id, record, context.catalog, context.document, theme);
  if (edge !== null || selection.nodes.has(id)) {
    canvas.strokeStyle = edge ?? theme.accent;
    canvas.lineWidth = Math.max(2, 1.5 / viewport.zoom);
    canvas.strokeRect(shape.outer.x, shape.outer.y, shape.outer.width, shape.outer.height);
  }
  if (viewport.zoom >= TITLES_FROM) {
    if (record !== undefined && shape.titleHeight > 0) paintTitle(canvas, shape, titleOf(record, context.catalog, context.document), theme);
    paintSockets(canvas, shape, viewport.zoom >= ROWS_FROM, theme);
    if (record !== undefined && viewport.zoom >= ROWS_FROM) paintRows(canvas, picture, record, shape, theme);
  }
  canvas.restore();
}

/** Errors and nodes nobody knows have a red edge, the one that runs has the accent's; null for the plain one. */
function edgeOf(
  picture: Picture, id: NodeId, record: NodeRecord | undefined, catalog: Catalog, document: WorkflowDocument, theme: Theme,
): string | null {
  if (picture.running === id) return theme.accent;
  if (picture.faulty.has(id)) return theme.danger;
  return record !== undefined && catalog.specs.size > 0 && !isKnownNode(record, catalog, document) ? theme.danger : null;
}

function paintFrame(canvas: CanvasRenderingContext2D, shape: NodeShape, record: NodeRecord | undefined, theme: Theme): void {
  const { outer, titleHeight } = shape;
  canvas.fillStyle = (record && colorOf(record, "bgcolor")) ?? theme.node;
  canvas.fillRect(outer.x, outer.y, outer.width, outer.height);
  if (titleHeight > 0) {
    canvas.fillStyle = (record && colorOf(record)) ?? theme.title;
    canvas.fillRect(outer.x, outer.y, outer.width, titleHeight);
  }
  canvas.strokeStyle = theme.line;
  canvas.lineWidth = 1;
  canvas.strokeRect(outer.x, outer.y, outer.width, outer.height);
}

function paintTitle(canvas: CanvasRenderingContext2D, shape: NodeShape, title: string, theme: Theme): void {
  canvas.fillStyle = theme.text;
  canvas.font = "600 13px system-ui, sans-serif";
  canvas.textAlign = "left";
  canvas.textBaseline = "middle";
  canvas.fillText(fittedText(title, shape.width - 24), 12, shape.outer.y + shape.titleHeight / 2);
}

function paintSockets(canvas: CanvasRenderingContext2D, shape: NodeShape, withNames: boolean, theme: Theme): void {
  canvas.font = "12px system-ui, sans-serif";
  canvas.textBaseline = "middle";
  for (const socket of [...shape.inputs, ...shape.outputs]) {
    canvas.beginPath();
    canvas.arc(socket.x, socket.y, socket.widget === null ? METRICS.socketRadius : METRICS.socketRadius - 2, 0, 2 * Math.PI);
    canvas.fillStyle = typeColor(socket.type);
    canvas.fill();
    if (!withNames || socket.widget !== null || shape.kind === "collapsed" || shape.kind === "reroute") continue;
    const isLeft = socket.x === 0;
    canvas.textAlign = isLeft ? "left" : "right";
    canvas.fillStyle = theme.quiet;
    canvas.fillText(fittedText(socket.name, shape.width / 2), socket.x + (isLeft ? 12 : -12), socket.y);
  }
}

function paintRows(canvas: CanvasRenderingContext2D, picture: Picture, record: NodeRecord, shape: NodeShape, theme: Theme): void {
  const views = widgetsOf(picture.context, picture.scene.graph, record);
  shape.rows.forEach((row, i) => {
    const view = views[i];
    if (view === undefined) return;
    const width = shape.width - 2 * METRICS.padding;
    canvas.fillStyle = theme.canvas;
    canvas.fillRect(METRICS.padding, row.y, width, row.height);
    const middle = row.y + Math.min(row.height, METRICS.widgetRow) / 2;
    canvas.textAlign = "left";
    canvas.fillStyle = theme.quiet;
    const isText = row.height > METRICS.widgetRow;
    if (!isText) canvas.fillText(fittedText(view.label, width * 0.45), METRICS.padding + 8, middle);
    canvas.fillStyle = theme.text;
    const value = editorText(view.value).split("\n", 1)[0] ?? "";
    canvas.textAlign = isText ? "left" : "right";
    canvas.fillText(fittedText(value, width * (isText ? 0.95 : 0.5)), isText ? METRICS.padding + 8 : shape.width - 16, middle);
  });
}

function paintGesture(canvas: CanvasRenderingContext2D, picture: Picture, theme: Theme): void {
  const { gesture, guides, scene, viewport } = picture;
  canvas.lineWidth = 1 / viewport.zoom;
  canvas.strokeStyle = theme.accent;
  for (const { axis, at, from, to } of guides) {
    canvas.beginPath();
    canvas.moveTo(axis === "x" ? at : from, axis === "x" ? from : at);
    canvas.lineTo(axis === "x" ? at : to, axis === "x" ? to : at);
    canvas.stroke();
  }
  if (gesture.is === "boxing") {
    const box = spanned(gesture.start, gesture.now);
    canvas.strokeRect(box.x, box.y, box.width, box.height);
  } else if (gesture.is === "linking") {
    const from = scene.socketAt(gesture.from.node, gesture.from.side, gesture.from.slot);
    const to = gesture.target?.at ?? gesture.now;
    if (from === null) return;
    canvas.lineWidth = 2.5;
    canvas.strokeStyle = typeColor(gesture.from.type);
    canvas.beginPath();
    canvas.moveTo(from.x, from.y);
    canvas.lineTo(to.x, to.y);
    canvas.stroke();
  }
}

/** A text cut to about `width` world units, by the same table of sizes that shapes are made from. */
function fittedText(text: string, width: number): string {
  const room = Math.max(1, Math.floor(width / METRICS.charWidth));
  return text.length <= room ? text : `${text.slice(0, room - 1)}…`;
}
