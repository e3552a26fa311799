/**
 * The shape of a node: title, sockets, widget rows, from one table of sizes. Canvas and DOM use the same shape, so that
 * a node looks alike however it is drawn; nothing is ever measured. Places are relative to the node's position, the top
 * left corner of the body; the title bar is above it, at negative y.
 */

import { isArray, isObject } from "../model/json";
import {
  flagOf, inputsOf, inputWidget, outputsOf, savedSizeOf, socketName, typeOf, type Rect,
} from "../model/node_reading";
import { NOTE_TYPES, type GraphState, type NodeRecord } from "../model/records";
import { socketType } from "../model/socket_types";
import { definitionSockets, type WidgetView } from "../model/widgets";

/** All sizes, in world units. Saved nodes were laid out with these titles and rows, so files keep their look. */
export const METRICS = {
  title: 30, socketRow: 20, widgetRow: 24, gap: 4, padding: 8, minWidth: 140, textMin: 64, charWidth: 7,
  socketRadius: 5, socketReach: 12, resizeCorner: 14, rerouteRadius: 6, panelWidth: 140, collapsedMin: 80,
} as const;

export interface SocketSpot {
  readonly side: "input" | "output";
  readonly slot: number;
  readonly name: string;
  readonly type: string;
  readonly x: number;
  readonly y: number;
  /** The widget whose socket it is; null for plain sockets. */
  readonly widget: string | null;
}

export interface WidgetRow {
  readonly name: string;
  readonly y: number;
  readonly height: number;
}

export interface NodeShape {
  readonly kind: "node" | "collapsed" | "reroute" | "panel";
  /** Title bar and body. */
  readonly outer: Rect;
  readonly titleHeight: number;
  readonly width: number;
  readonly height: number;
  readonly minHeight: number;
  readonly inputs: readonly SocketSpot[];
  readonly outputs: readonly SocketSpot[];
  readonly rows: readonly WidgetRow[];
}

/** How tall a widget is, and whether it takes what is left of the body. */
export function widgetHeight(view: WidgetView): { readonly height: number; readonly grows: boolean } {
  const isText = view.spec === null ? view.name === "text" : view.spec.type === "STRING" && Boolean(view.spec.options.multiline);
  return isText ? { height: METRICS.textMin, grows: true } : { height: METRICS.widgetRow, grows: false };
}

export function nodeShape(node: NodeRecord, widgets: readonly WidgetView[], title: string): NodeShape {
  if (typeOf(node) === "Reroute") return rerouteShape(node);
  if (flagOf(node, "collapsed")) return collapsedShape(node, title);
  const inputs = inputsOf(node);
  const outputs = outputsOf(node);
  const shown = new Set(widgets.map((view) => view.name));
  const plain = inputs.flatMap((input, slot) => {
    const widget = inputWidget(input);
    return widget !== null && shown.has(widget) ? [] : [slot];
  });
  const numRows = Math.max(plain.length, outputs.length);
  const top = numRows * METRICS.socketRow + (numRows > 0 ? METRICS.padding : METRICS.gap);
  const heights = widgets.map(widgetHeight);
  const widgetsHeight = heights.reduce((sum, item) => sum + item.height + METRICS.gap, 0);
  const minHeight = Math.max(top + widgetsHeight + METRICS.padding, METRICS.socketRow);
  const saved = savedSizeOf(node);
  const width = Math.max(saved?.width ?? freshWidth(node, widgets, title), METRICS.minWidth);
  const height = Math.max(saved?.height ?? minHeight, minHeight);
  const growing = heights.filter((item) => item.grows).length;
  const extra = growing === 0 ? 0 : (height - minHeight) / growing;
  const rows: WidgetRow[] = [];
  let y = top;
  widgets.forEach((view, i) => {
    const size = heights[i] as { height: number; grows: boolean };
    const tall = size.height + (size.grows ? extra : 0);
    rows.push({ name: view.name, y, height: tall });
    y += tall + METRICS.gap;
  });
  const rowMiddle = (name: string | null) => {
    const row = rows.find((item) => item.name === name);
    return row === undefined ? null : row.y + Math.min(row.height, METRICS.widgetRow) / 2;
  };
  const socketY = (row: number) => (row + 0.7) * METRICS.socketRow;
  return {
    kind: "node",
    outer: { x: 0, y: -METRICS.title, width, height: height + METRICS.title },
    titleHeight: METRICS.title,
    width,
    height,
    minHeight,
    inputs: inputs.map((input, slot) => {
      const widget = inputWidget(input);
      const y = (widget === null ? null : rowMiddle(widget)) ?? socketY(plain.indexOf(slot));
      return spot("input", slot, input, 0, y, widget);
    }),
    outputs: outputs.map((output, slot) => spot("output", slot, output, width, socketY(slot), null)),
    rows,
  };
}

function spot(
  side: "input" | "output", slot: number, item: Parameters<typeof socketName>[0], x: number, y: number,
  widget: string | null,
): SocketSpot {
  return { side, slot, name: socketName(item), type: socketType(item), x, y, widget };
}

/** The width of a node that was never sized: what its title and its widest row ask for. */
function freshWidth(node: NodeRecord, widgets: readonly WidgetView[], title: string): number {
  const [inputs, outputs] = [inputsOf(node), outputsOf(node)];
  const rows = Array.from({ length: Math.max(inputs.length, outputs.length) }, (_, i) => {
    const [input, output] = [inputs[i], outputs[i]];
    return ((input ? socketName(input).length : 0) + (output ? socketName(output).length : 0) + 4) * METRICS.charWidth;
  });
  const base = widgets.length > 0 ? 210 : METRICS.minWidth;
  const wide = widgets.some((view) => widgetHeight(view).grows) ? 400 : base;
  return Math.max(wide, title.length * METRICS.charWidth + 2 * METRICS.title, ...rows);
}

function collapsedShape(node: NodeRecord, title: string): NodeShape {
  const width = Math.max(METRICS.collapsedMin, title.length * METRICS.charWidth + 2 * METRICS.title);
  const y = -METRICS.title / 2;
  return {
    kind: "collapsed",
    outer: { x: 0, y: -METRICS.title, width, height: METRICS.title },
    titleHeight: METRICS.title, width, height: 0, minHeight: 0,
    inputs: inputsOf(node).map((input, slot) => spot("input", slot, input, 0, y, inputWidget(input))),
    outputs: outputsOf(node).map((output, slot) => spot("output", slot, output, width, y, null)),
    rows: [],
  };
}

function rerouteShape(node: NodeRecord): NodeShape {
  const size = savedSizeOf(node) ?? { width: 75, height: 26 };
  const y = size.height / 2;
  return {
    kind: "reroute",
    outer: { x: 0, y: 0, ...size },
    titleHeight: 0, ...size, minHeight: size.height,
    inputs: inputsOf(node).slice(0, 1).map((input) => spot("input", 0, input, 0, y, null)),
    outputs: outputsOf(node).slice(0, 1).map((output) => spot("output", 0, output, size.width, y, null)),
    rows: [],
  };
}

/** Where a panel of a subgraph stands and its sockets: inputs have theirs on the right side, outputs on the left. */
export function panelShape(
  graph: GraphState, key: "inputNode" | "outputNode",
): { readonly x: number; readonly y: number; readonly shape: NodeShape } {
  const panel = graph.rest[key];
  const box = isObject(panel) && isArray(panel.bounding) ? panel.bounding : [];
  const at = (i: number, fallback: number) => (typeof box[i] === "number" ? (box[i] as number) : fallback);
  const sockets = definitionSockets(graph, key === "inputNode" ? "inputs" : "outputs");
  const width = Math.max(at(2, METRICS.panelWidth), METRICS.collapsedMin);
  const height = Math.max(at(3, 0), (sockets.length + 1) * METRICS.socketRow + METRICS.padding);
  const side = key === "inputNode" ? "output" : "input";
  const x = side === "output" ? width : 0;
  const spots = sockets.map((item, slot) => spot(side, slot, item, x, (slot + 0.9) * METRICS.socketRow, null));
  return {
    x: at(0, 0),
    y: at(1, 0),
    shape: {
      kind: "panel",
      outer: { x: 0, y: 0, width, height },
      titleHeight: 0, width, height, minHeight: height,
      inputs: side === "input" ? spots : [],
      outputs: side === "output" ? spots : [],
      rows: [],
    },
  };
}

/** Whether a node is a note: it has no sockets and never runs. */
export function isNote(node: NodeRecord): boolean {
  return NOTE_TYPES.has(typeOf(node));
}
