/** Nodes on the canvas, by level of detail: with rows, title and sockets only, or blocks batched by colour. */

import { METRICS, type NodeShape } from "../geometry/node_shape";
import { colorOf, isKnownNode, modeOf, titleOf } from "../model/node_reading";
import { MODE, type NodeId, type NodeRecord } from "../model/records";
import { editorText } from "../model/widget_plan";
import { widgetsOf } from "../model/widgets";
import type { Drawing, ShapePath } from "./drawing";
import type { Picture } from "./picture";
import { fieldOn, textOn, typeColor, type Theme } from "./theme";

/** Below these zooms rows, then everything but a block is left out. */
const ROWS_FROM = 0.3;
export const BLOCKS_BELOW = 0.22;
const RADIUS = 8;

/** From afar texts are drawn larger, as far as their rows have room: what a node is and says is read for longer. */
const textSize = (zoom: number) => Math.min(16, Math.max(12, 6.5 / zoom));
const titleSize = (zoom: number) => Math.min(22, Math.max(13, 10 / zoom));

export function paintBlocks(canvas: Drawing, picture: Picture, ids: readonly NodeId[], theme: Theme): void {
  const { scene, viewport } = picture;
  const byColor = new Map<string, ShapePath>();
  const pathOf = (color: string): ShapePath => {
    let path = byColor.get(color);
    if (path === undefined) byColor.set(color, (path = picture.newPath()));
    return path;
  };
  for (const id of ids) {
    const placed = scene.node(id);
    if (placed === undefined) continue;
    const record = scene.graph.nodes.byId.get(id);
    const { outer, titleHeight } = placed.shape;
    const [x, y] = [placed.at.x + outer.x, placed.at.y + outer.y];
    pathOf(shownColor(record, "bgcolor", theme) ?? theme.node).rect(x, y, outer.width, outer.height);
    const title = Math.max(titleHeight, 2 / viewport.zoom);
    pathOf(shownColor(record, "color", theme) ?? theme.line).rect(x, y, outer.width, title);
  }
  for (const [color, path] of byColor) {
    canvas.fillStyle = color;
    canvas.fill(path as Path2D);
  }
}

export function paintNode(canvas: Drawing, picture: Picture, id: NodeId, theme: Theme): void {
  const { scene, context, viewport } = picture;
  const placed = scene.node(id);
  if (placed === undefined) return;
  const { shape, at } = placed;
  const record = scene.graph.nodes.byId.get(id);
  const mode = record === undefined ? MODE.always : modeOf(record);
  canvas.save();
  canvas.translate(at.x, at.y);
  canvas.globalAlpha = mode === MODE.muted ? 0.4 : mode === MODE.bypassed ? 0.65 : 1;
  const known = record === undefined || context.catalog.specs.size === 0 || isKnownNode(record, context.catalog, context.document);
  paintFrame(canvas, shape, record, known, theme);
  if (record !== undefined && shape.titleHeight > 0) {
    paintTitle(canvas, shape, titleOf(record, context.catalog, context.document), shownColor(record, "color", theme), titleSize(viewport.zoom), theme);
  }
  const text = textOfBody(record, theme);
  canvas.font = `${textSize(viewport.zoom)}px system-ui, sans-serif`;
  paintSockets(canvas, shape, viewport.zoom < ROWS_FROM ? 0 : textSize(viewport.zoom), text);
  if (record !== undefined && viewport.zoom >= ROWS_FROM) paintRows(canvas, picture, record, shape, text, theme);
  const image = shape.kind === "node" ? picture.imageOf(id) : null;
  if (image !== null) paintImage(canvas, image, shape);
  canvas.restore();
}

function textOfBody(record: NodeRecord | undefined, theme: Theme): string {
  const own = shownColor(record, "bgcolor", theme);
  return own === null ? theme.text : textOn(own);
}

/** A colour a node has of its own, as the theme shows it. */
function shownColor(record: NodeRecord | undefined, key: "color" | "bgcolor", theme: Theme): string | null {
  const own = record === undefined ? null : colorOf(record, key);
  return own === null ? null : theme.own(own);
}

function paintFrame(
  canvas: Drawing, shape: NodeShape, record: NodeRecord | undefined, isKnown: boolean, theme: Theme,
): void {
  const { outer, titleHeight } = shape;
  const radius = Math.min(RADIUS, outer.height / 2);
  canvas.beginPath();
  canvas.roundRect(outer.x, outer.y, outer.width, outer.height, radius);
  canvas.fillStyle = shownColor(record, "bgcolor", theme) ?? theme.node;
  canvas.fill();
  canvas.strokeStyle = isKnown ? theme.line : theme.danger;
  canvas.lineWidth = isKnown ? 1 : 2;
  canvas.stroke();
  if (titleHeight === 0) return;
  canvas.beginPath();
  const isAll = titleHeight >= outer.height;
  canvas.roundRect(outer.x, outer.y, outer.width, titleHeight, isAll ? radius : [radius, radius, 0, 0]);
  canvas.fillStyle = shownColor(record, "color", theme) ?? theme.title;
  canvas.fill();
}

function paintTitle(
  canvas: Drawing, shape: NodeShape, title: string, color: string | null, size: number, theme: Theme,
): void {
  canvas.fillStyle = color === null ? theme.text : textOn(color);
  canvas.font = `600 ${size}px system-ui, sans-serif`;
  canvas.textAlign = "left";
  canvas.textBaseline = "middle";
  canvas.fillText(fittedText(title, (shape.width - 24) * 12 / size), 12, shape.outer.y + shape.titleHeight / 2);
}

/** `size` of the names; 0 for none. */
function paintSockets(canvas: Drawing, shape: NodeShape, size: number, text: string): void {
  canvas.textBaseline = "middle";
  for (const socket of [...shape.inputs, ...shape.outputs]) {
    canvas.beginPath();
    canvas.arc(socket.x, socket.y, socket.widget === null ? METRICS.socketRadius : METRICS.socketRadius - 2, 0, 2 * Math.PI);
    canvas.fillStyle = typeColor(socket.type);
    canvas.fill();
    if (size === 0 || socket.widget !== null || shape.kind === "collapsed" || shape.kind === "reroute") continue;
    const isLeft = socket.x === 0;
    canvas.textAlign = isLeft ? "left" : "right";
    canvas.fillStyle = text;
    canvas.fillText(fittedText(socket.name, shape.width * 6 / size), socket.x + (isLeft ? 12 : -12), socket.y);
  }
}

function paintRows(
  canvas: Drawing, picture: Picture, record: NodeRecord, shape: NodeShape, text: string, theme: Theme,
): void {
  const views = widgetsOf(picture.context, picture.scene.graph, record);
  const own = shownColor(record, "bgcolor", theme);
  const field = own === null ? theme.field : fieldOn(own);
  const size = textSize(picture.viewport.zoom);
  const width = shape.width - 2 * METRICS.padding;
  const letters = width * 12 / size;
  shape.rows.forEach((row, i) => {
    const view = views[i];
    if (view === undefined) return;
    canvas.beginPath();
    canvas.roundRect(METRICS.padding, row.y, width, row.height, 6);
    canvas.fillStyle = field;
    canvas.fill();
    canvas.textAlign = "left";
    canvas.fillStyle = text;
    if (row.height > METRICS.widgetRow) return paintLines(canvas, editorText(view.value), row, size, letters);
    const middle = row.y + row.height / 2;
    canvas.fillText(fittedText(view.label, letters * 0.45), METRICS.padding + 8, middle);
    canvas.textAlign = "right";
    const value = editorText(view.value).split("\n", 1)[0] ?? "";
    canvas.fillText(fittedText(value, letters * 0.5), shape.width - 16, middle);
  });
}

/** As large as it fits below the rows. */
function paintImage(canvas: Drawing, image: HTMLImageElement, shape: NodeShape): void {
  const last = shape.rows.at(-1);
  const sockets = [...shape.inputs, ...shape.outputs].map((spot) => spot.y + METRICS.socketRow / 2);
  const top = (last === undefined ? Math.max(0, ...sockets) : last.y + last.height) + METRICS.gap;
  const room = { width: shape.width - 2 * METRICS.padding, height: shape.height - top - METRICS.padding };
  if (room.height < METRICS.textMin) return;
  const scale = Math.min(room.width / image.naturalWidth, room.height / image.naturalHeight);
  const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
  canvas.drawImage(image, (shape.width - width) / 2, top + (room.height - height) / 2, width, height);
}

/** The first lines of a text, as many as its field has room for. */
function paintLines(
  canvas: Drawing, value: string, row: { readonly y: number; readonly height: number }, size: number, letters: number,
): void {
  const height = size * 1.5;
  const lines = wrapped(value, letters * 0.95, Math.max(1, Math.floor((row.height - METRICS.padding) / height)));
  lines.forEach((line, i) => canvas.fillText(line, METRICS.padding + 8, row.y + METRICS.padding + (i + 0.5) * height));
}

/** A text in lines of about `width` world units, `most` of them. */
export function wrapped(text: string, width: number, most: number): string[] {
  const room = Math.max(1, Math.floor(width / METRICS.charWidth));
  const lines: string[] = [];
  for (const paragraph of text.slice(0, room * most).split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > room) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(fittedText(line, width));
    if (lines.length >= most) break;
  }
  return lines.slice(0, most);
}

/** A text cut to about `width` world units, by the same table of sizes that shapes are made from. */
export function fittedText(text: string, width: number): string {
  const room = Math.max(1, Math.floor(width / METRICS.charWidth));
  return text.length <= room ? text : `${text.slice(0, room - 1)}…`;
}
