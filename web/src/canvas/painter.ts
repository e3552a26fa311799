/** Draws what lies below the nodes' DOM bodies: grid, groups, links batched by colour, points, and all other nodes. */

import { METRICS } from "../geometry/node_shape";
import type { Point, Rect } from "../geometry/shapes";
import { visibleRect } from "../geometry/viewport";
import { colorOf } from "../model/node_reading";
import type { Drawing, ShapePath } from "./drawing";
import { BLOCKS_BELOW, fittedText, paintBlocks, paintNode } from "./node_painter";
import type { Picture } from "./picture";
import { typeColor, type Theme } from "./theme";

const GRID = 32;

/** The canvas in world units, over the whole picture. */
export function toWorldUnits(canvas: Drawing, picture: Pick<Picture, "viewport" | "pixelRatio">): void {
  const { viewport, pixelRatio } = picture;
  const scale = viewport.zoom * pixelRatio;
  canvas.setTransform(scale, 0, 0, scale, -viewport.x * scale, -viewport.y * scale);
}

export function paint(canvas: Drawing, picture: Picture, theme: Theme): void {
  const { viewport, size, pixelRatio, scene, mounted } = picture;
  canvas.setTransform(1, 0, 0, 1, 0, 0);
  canvas.globalAlpha = 1;
  canvas.fillStyle = theme.canvas;
  canvas.fillRect(0, 0, size.width * pixelRatio, size.height * pixelRatio);
  toWorldUnits(canvas, picture);
  const region = visibleRect(viewport, size);
  if (picture.hasGrid && viewport.zoom > 0.4) paintGrid(canvas, region, viewport.zoom, theme);
  const visible = scene.visible(region);
  for (const id of visible.groups) paintGroup(canvas, picture, id, theme);
  paintLinks(canvas, picture, visible.links);
  paintPoints(canvas, picture, visible.reroutes, theme);
  if (viewport.zoom < BLOCKS_BELOW) paintBlocks(canvas, picture, visible.nodes, theme);
  else for (const id of visible.nodes) if (!mounted.has(id)) paintNode(canvas, picture, id, theme);
}

/** Dots at the crossings, quieter than lines: dashed lines whose dashes are the dots. */
function paintGrid(canvas: Drawing, region: Rect, zoom: number, theme: Theme): void {
  const dot = 1.5 / zoom;
  const step = zoom < 0.7 ? 2 * GRID : GRID;
  const left = Math.floor(region.x / step) * step;
  canvas.beginPath();
  for (let y = Math.floor(region.y / step) * step; y < region.y + region.height; y += step) {
    canvas.moveTo(left, y);
    canvas.lineTo(region.x + region.width, y);
  }
  canvas.strokeStyle = theme.grid;
  canvas.lineWidth = dot;
  canvas.setLineDash([dot, step - dot]);
  canvas.stroke();
  canvas.setLineDash([]);
}

function paintGroup(canvas: Drawing, picture: Picture, id: string, theme: Theme): void {
  const rect = picture.scene.group(id) as Rect;
  const record = picture.scene.graph.groups.byId.get(id);
  const color = (record && colorOf(record)) ?? theme.quiet;
  canvas.beginPath();
  canvas.roundRect(rect.x, rect.y, rect.width, rect.height, 12);
  canvas.globalAlpha = 0.09;
  canvas.fillStyle = color;
  canvas.fill();
  canvas.globalAlpha = 0.4;
  canvas.strokeStyle = color;
  canvas.lineWidth = 1;
  canvas.stroke();
  canvas.globalAlpha = 1;
  const fontSize = Math.max(14, 12 / picture.viewport.zoom);
  if (rect.height < fontSize * 2) return;
  canvas.fillStyle = theme.quiet;
  canvas.font = `600 ${fontSize}px system-ui, sans-serif`;
  canvas.textAlign = "left";
  canvas.textBaseline = "middle";
  const room = (rect.width - 24) * METRICS.charWidth / (fontSize * 0.58);
  canvas.fillText(fittedText(String(record?.title ?? ""), room), rect.x + 12, rect.y + Math.max(16, fontSize));
}

function paintLinks(canvas: Drawing, picture: Picture, ids: readonly string[]): void {
  const { scene, viewport } = picture;
  const byColor = new Map<string, ShapePath>();
  for (const id of ids) {
    const curve = scene.curve(id);
    const link = scene.graph.links.byId.get(id);
    if (curve === undefined || link === undefined) continue;
    const color = typeColor(String(link.type ?? "*"));
    let path = byColor.get(color);
    if (path === undefined) byColor.set(color, (path = picture.newPath()));
    // From afar a curve is a pixel away from a line, and curves are what costs.
    const isFar = viewport.zoom < 0.15;
    for (const { from, to, handleFrom, handleTo } of curve.segments) {
      path.moveTo(from.x, from.y);
      if (isFar) path.lineTo(to.x, to.y);
      else path.bezierCurveTo(handleFrom.x, handleFrom.y, handleTo.x, handleTo.y, to.x, to.y);
    }
  }
  canvas.lineWidth = Math.max(2, 1 / viewport.zoom);
  canvas.globalAlpha = 0.85;
  for (const [color, path] of byColor) {
    canvas.strokeStyle = color;
    canvas.stroke(path as Path2D);
  }
  canvas.globalAlpha = 1;
}

function paintPoints(canvas: Drawing, picture: Picture, ids: readonly string[], theme: Theme): void {
  const { scene } = picture;
  for (const id of ids) {
    const at = scene.reroute(id) as Point;
    const link = scene.graph.reroutes.byId.get(id)?.linkIds;
    const first = Array.isArray(link) ? scene.graph.links.byId.get(String(link[0])) : undefined;
    canvas.beginPath();
    canvas.arc(at.x, at.y, METRICS.rerouteRadius, 0, 2 * Math.PI);
    canvas.fillStyle = first === undefined ? theme.quiet : typeColor(String(first.type ?? "*"));
    canvas.fill();
    canvas.strokeStyle = theme.canvas;
    canvas.lineWidth = 2;
    canvas.stroke();
  }
}
