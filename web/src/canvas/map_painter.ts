/** Draws the map of a graph: groups, links as straight lines, nodes as blocks, those at work or at fault on top. */

import { onMap, type MapScale } from "../geometry/minimap";
import type { Rect } from "../geometry/shapes";
import type { Scene } from "../geometry/scene";
import type { Size } from "../geometry/viewport";
import { colorOf, modeOf } from "../model/node_reading";
import { MODE, type NodeId } from "../model/records";
import type { Theme } from "./theme";

export interface MapPicture {
  readonly scene: Scene;
  readonly scale: MapScale;
  readonly size: Size;
  readonly pixelRatio: number;
  /** Nodes that have something to say, which is seen from anywhere. */
  readonly running: ReadonlySet<NodeId>;
  readonly faulty: ReadonlySet<NodeId>;
}

export function paintMap(canvas: CanvasRenderingContext2D, picture: MapPicture, theme: Theme): void {
  const { scene, scale, size, pixelRatio } = picture;
  canvas.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  canvas.globalAlpha = 1;
  canvas.fillStyle = theme.canvas;
  canvas.fillRect(0, 0, size.width, size.height);
  const bounds = scene.bounds();
  if (bounds === null) return;
  const { nodes, links, groups } = scene.visible(bounds);
  for (const id of groups) paintGroup(canvas, onMap(scale, scene.group(id) as Rect), colorOf(scene.graph.groups.byId.get(id) ?? {}) ?? theme.quiet);
  const boxes = new Map(nodes.map((id) => [id, onMap(scale, scene.outer(id))] as const));
  paintLinks(canvas, scene, links, boxes, theme);
  for (const [color, path] of pathsByColor(scene, boxes, theme)) {
    // Most nodes have no colour of their own: they are quieter than those that have one.
    canvas.globalAlpha = color === theme.quiet ? 0.55 : 1;
    canvas.fillStyle = color;
    canvas.fill(path);
  }
  canvas.globalAlpha = 1;
  paintMarked(canvas, boxes, picture.running, theme.accent);
  paintMarked(canvas, boxes, picture.faulty, theme.danger);
}

function paintGroup(canvas: CanvasRenderingContext2D, { x, y, width, height }: Rect, color: string): void {
  canvas.globalAlpha = 0.18;
  canvas.fillStyle = color;
  canvas.fillRect(x, y, width, height);
  canvas.globalAlpha = 1;
}

/** From the right edge of one block to the left edge of the next, in one stroke. */
function paintLinks(canvas: CanvasRenderingContext2D, scene: Scene, ids: readonly string[], boxes: ReadonlyMap<NodeId, Rect>, theme: Theme): void {
  canvas.beginPath();
  for (const id of ids) {
    const link = scene.graph.links.byId.get(id);
    const [from, to] = [boxes.get(link?.origin ?? ""), boxes.get(link?.target ?? "")];
    if (from === undefined || to === undefined) continue;
    canvas.moveTo(from.x + from.width, from.y + from.height / 2);
    canvas.lineTo(to.x, to.y + to.height / 2);
  }
  canvas.strokeStyle = theme.line;
  canvas.lineWidth = 1;
  canvas.stroke();
}

function pathsByColor(scene: Scene, boxes: ReadonlyMap<NodeId, Rect>, theme: Theme): ReadonlyMap<string, Path2D> {
  const paths = new Map<string, Path2D>();
  for (const [id, box] of boxes) {
    const record = scene.graph.nodes.byId.get(id);
    const isOff = record !== undefined && modeOf(record) !== MODE.always;
    const own = record === undefined ? null : colorOf(record, "bgcolor") ?? colorOf(record);
    const color = isOff ? theme.line : own === null ? theme.quiet : theme.own(own);
    let path = paths.get(color);
    if (path === undefined) paths.set(color, (path = new Path2D()));
    path.rect(box.x, box.y, Math.max(2, box.width), Math.max(2, box.height));
  }
  return paths;
}

function paintMarked(canvas: CanvasRenderingContext2D, boxes: ReadonlyMap<NodeId, Rect>, ids: ReadonlySet<NodeId>, color: string): void {
  canvas.fillStyle = color;
  for (const id of ids) {
    const box = boxes.get(id);
    if (box !== undefined) canvas.fillRect(box.x - 1, box.y - 1, Math.max(4, box.width) + 2, Math.max(4, box.height) + 2);
  }
}
