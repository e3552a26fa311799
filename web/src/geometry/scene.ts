/**
 * The shown graph as shapes in space: what is visible, what is under the pointer, where sockets are. It follows the
 * document by its operations and touches only what they name. Drags move shapes here, without the document.
 */

import type { Op } from "../model/edit";
import {
  flagOf, groupRect, inputLink, inputsOf, outputLinks, outputsOf, pointsOfLink, positionOf, titleOf,
} from "../model/node_reading";
import {
  INPUT_PANEL, OUTPUT_PANEL,
  type GraphId, type GraphState, type GroupId, type LinkId, type NodeId, type RerouteId,
} from "../model/records";
import { panelId, widgetsOf, type WidgetContext } from "../model/widgets";
import { distanceTo, linkCurve, type LinkCurve, type LinkStyle } from "./link_curve";
import { METRICS, nodeShape, panelShape, type NodeShape, type SocketSpot } from "./node_shape";
import { boundsOf, contains, encloses, grown, moved, overlaps, type Point, type Rect } from "./shapes";
import { SpatialIndex } from "./spatial_index";

/** A node or a panel of a subgraph, and where it is. */
export interface PlacedNode {
  readonly id: NodeId;
  readonly at: Point;
  readonly shape: NodeShape;
}

/** What is under the pointer, from front to back: sockets, points, nodes, links, groups. */
export type Hit =
  | { readonly kind: "socket"; readonly node: NodeId; readonly socket: SocketSpot; readonly at: Point }
  | { readonly kind: "reroute"; readonly id: RerouteId }
  | { readonly kind: "node"; readonly id: NodeId; readonly part: "title" | "body" | "corner"; readonly widget: string | null }
  | { readonly kind: "link"; readonly id: LinkId; readonly stretch: number }
  | { readonly kind: "group"; readonly id: GroupId; readonly part: "title" | "body" | "corner" }
  | { readonly kind: "void" };

export interface Visible {
  /** Back to front. */
  readonly nodes: readonly NodeId[];
  readonly links: readonly LinkId[];
  readonly groups: readonly GroupId[];
  readonly reroutes: readonly RerouteId[];
}

const GROUP_TITLE = 30;

export class Scene {
  private context: WidgetContext;
  private graphId: GraphId;
  private readonly nodes = new Map<NodeId, PlacedNode>();
  private readonly curves = new Map<LinkId, LinkCurve>();
  private readonly points = new Map<RerouteId, Point>();
  private readonly frames = new Map<GroupId, Rect>();
  private readonly nodeIndex = new SpatialIndex();
  private readonly linkIndex = new SpatialIndex();
  private order: ReadonlyMap<NodeId, number> = new Map();
  private panels: ReadonlySet<NodeId> = new Set();
  private readonly style: LinkStyle;

  constructor(context: WidgetContext, graph: GraphId, style: LinkStyle = "spline") {
    this.context = context;
    this.graphId = graph;
    this.style = style;
    this.rebuild();
  }

  get graph(): GraphState {
    return this.context.document.graphs.get(this.graphId) as GraphState;
  }

  node(id: NodeId): PlacedNode | undefined {
    return this.nodes.get(id);
  }

  curve(id: LinkId): LinkCurve | undefined {
    return this.curves.get(id);
  }

  reroute(id: RerouteId): Point | undefined {
    return this.points.get(id);
  }

  group(id: GroupId): Rect | undefined {
    return this.frames.get(id);
  }

  /** Lay everything out anew: another graph, another catalog, other file lists. */
  show(context: WidgetContext, graph: GraphId): void {
    this.context = context;
    this.graphId = graph;
    this.rebuild();
  }

  /** Follow a change of the document; returns the ids of nodes whose shape or place may have changed. */
  follow(context: WidgetContext, ops: readonly Op[]): ReadonlySet<NodeId> {
    this.context = context;
    const here = ops.filter((op) => op.graph === this.graphId);
    const touchesShapes = ops.some((op) => op.graph !== this.graphId || op.on === "graph" || op.on === "rest");
    if (touchesShapes) {
      this.rebuild();
      return new Set(this.nodes.keys());
    }
    const { graph } = this;
    const changed = new Set<NodeId>();
    const links = new Set<LinkId>();
    for (const op of here) {
      if (op.on === "nodes") changed.add(op.id);
      else if (op.on === "links") {
        links.add(op.id);
        // Widgets of primitives and shown values depend on links.
        for (const link of [op.before, op.after]) if (link !== undefined) changed.add(link.origin).add(link.target);
      } else if (op.on === "reroutes") this.points.delete(op.id);
      else if (op.on === "groups") this.placeGroup(op.id);
    }
    if (here.some((op) => op.on === "nodes" && (op.before === undefined) !== (op.after === undefined))) this.sort();
    for (const id of changed) this.placeNode(id);
    if (here.some((op) => op.on === "reroutes")) {
      this.placePoints();
      for (const link of graph.links.byId.values()) if (link.parent !== null) links.add(link.id);
    }
    for (const id of changed) for (const link of this.linksOf(id)) links.add(link);
    for (const id of links) this.placeLink(id);
    return changed;
  }

  /** Move shapes while they are dragged; the document is not asked. `follow` or `show` put them where it says. */
  drag(nodes: ReadonlyMap<NodeId, Point>, points: ReadonlyMap<RerouteId, Point>, groups: ReadonlyMap<GroupId, Rect>): void {
    const links = new Set<LinkId>();
    for (const [id, at] of nodes) {
      const placed = this.nodes.get(id);
      if (placed === undefined) continue;
      this.put({ ...placed, at });
      for (const link of this.linksOf(id)) links.add(link);
    }
    for (const [id, at] of points) this.points.set(id, at);
    for (const [id, rect] of groups) this.frames.set(id, rect);
    if (points.size > 0) for (const link of this.graph.links.byId.values()) if (link.parent !== null) links.add(link.id);
    for (const id of links) this.placeLink(id);
  }

  /** Show a node at another size while its corner is dragged. */
  resize(id: NodeId, width: number, height: number): void {
    const node = this.graph.nodes.byId.get(id);
    const placed = this.nodes.get(id);
    if (node === undefined || placed === undefined) return;
    const widgets = widgetsOf(this.context, this.graph, node);
    const title = titleOf(node, this.context.catalog, this.context.document);
    this.put({ ...placed, shape: nodeShape({ ...node, size: [width, height] }, widgets, title) });
    for (const link of this.linksOf(id)) this.placeLink(link);
  }

  // -------------------------------------------------------------- questions

  visible(region: Rect): Visible {
    const nodes = [...this.nodeIndex.query(region)].sort((a, b) => this.rank(a) - this.rank(b));
    return {
      nodes,
      links: [...this.linkIndex.query(region)],
      groups: [...this.frames].filter(([, rect]) => overlaps(rect, region)).map(([id]) => id),
      reroutes: [...this.points].filter(([, at]) => contains(grown(region, METRICS.rerouteRadius), at)).map(([id]) => id),
    };
  }

  /** `reach` is the tolerance in world units: some screen pixels divided by the zoom. */
  hit(point: Point, reach: number): Hit {
    const near = [...this.nodeIndex.query(grown({ ...point, width: 0, height: 0 }, METRICS.socketReach + reach))];
    near.sort((a, b) => this.rank(b) - this.rank(a));
    const inside = near.find((id) => contains(this.outer(id), point));
    const socket = this.nearestSocket(point, near, Math.max(METRICS.socketReach, reach), inside);
    if (socket !== null) return socket;
    for (const [id, at] of this.points) {
      if (Math.hypot(at.x - point.x, at.y - point.y) <= METRICS.rerouteRadius + reach) return { kind: "reroute", id };
    }
    if (inside !== undefined) return this.nodeHit(inside, point);
    return this.linkNear(point, reach) ?? this.groupHit(point) ?? { kind: "void" };
  }

  /** The nearest socket on one side for the end of a link that is being dragged; null when none is near. */
  socketNear(point: Point, side: "input" | "output", reach: number): (Hit & { kind: "socket" }) | null {
    const near = [...this.nodeIndex.query(grown({ ...point, width: 0, height: 0 }, reach))];
    return this.nearestSocket(point, near, reach, undefined, side);
  }

  /** Where a socket is; null when there is none. */
  socketAt(node: NodeId, side: "input" | "output", slot: number): Point | null {
    const placed = this.nodes.get(node);
    const spot = (side === "input" ? placed?.shape.inputs : placed?.shape.outputs)?.find((item) => item.slot === slot);
    return placed === undefined || spot === undefined ? null : { x: placed.at.x + spot.x, y: placed.at.y + spot.y };
  }

  /** Around the named nodes, or around everything; null for nothing. */
  bounds(ids?: Iterable<NodeId>): Rect | null {
    const rects = ids === undefined
      ? [...[...this.nodes.keys()].map((id) => this.outer(id)), ...this.frames.values()]
      : [...ids].filter((id) => this.nodes.has(id)).map((id) => this.outer(id));
    return boundsOf(rects);
  }

  /** Title bar and body of a node in world units. */
  outer(id: NodeId): Rect {
    return this.nodeIndex.rectOf(id) ?? { x: 0, y: 0, width: 0, height: 0 };
  }

  /** Everything that lies wholly in a rectangle, for selecting by box; nodes need only be touched. */
  inBox(box: Rect): { nodes: NodeId[]; reroutes: RerouteId[]; groups: GroupId[] } {
    return {
      nodes: [...this.nodeIndex.query(box)].filter((id) => !this.isPanel(id)),
      reroutes: [...this.points].filter(([, at]) => contains(box, at)).map(([id]) => id),
      groups: [...this.frames].filter(([, rect]) => encloses(box, rect)).map(([id]) => id),
    };
  }

  /** The nodes and points a group holds: those whose middle is in it. */
  heldBy(id: GroupId): { nodes: NodeId[]; reroutes: RerouteId[] } {
    const rect = this.frames.get(id);
    if (rect === undefined) return { nodes: [], reroutes: [] };
    return {
      nodes: [...this.nodeIndex.query(rect)].filter((node) => {
        const { x, y, width, height } = this.outer(node);
        return !this.isPanel(node) && contains(rect, { x: x + width / 2, y: y + height / 2 });
      }),
      reroutes: [...this.points].filter(([, at]) => contains(rect, at)).map(([point]) => point),
    };
  }

  isPinned(id: NodeId): boolean {
    const node = this.graph.nodes.byId.get(id);
    return node !== undefined && flagOf(node, "pinned");
  }

  isPanel(id: NodeId): boolean {
    return this.panels.has(id);
  }

  // -------------------------------------------------------------- hits

  private nearestSocket(
    point: Point, nodes: readonly NodeId[], reach: number, inside: NodeId | undefined, side?: "input" | "output",
  ): (Hit & { kind: "socket" }) | null {
    let best: (Hit & { kind: "socket" }) | null = null;
    let bestDistance = reach;
    for (const id of nodes) {
      // A node in front hides the sockets of those behind it.
      if (inside !== undefined && id !== inside && this.rank(id) < this.rank(inside)) continue;
      const { at, shape } = this.nodes.get(id) as PlacedNode;
      const sockets = side === "input" ? shape.inputs : side === "output" ? shape.outputs : [...shape.inputs, ...shape.outputs];
      for (const socket of shape.kind === "collapsed" && side === undefined ? [] : sockets) {
        const place = { x: at.x + socket.x, y: at.y + socket.y };
        const distance = Math.hypot(place.x - point.x, place.y - point.y);
        if (distance <= bestDistance) {
          bestDistance = distance;
          best = { kind: "socket", node: id, socket, at: place };
        }
      }
    }
    return best;
  }

  private nodeHit(id: NodeId, point: Point): Hit {
    const { at, shape } = this.nodes.get(id) as PlacedNode;
    const [x, y] = [point.x - at.x, point.y - at.y];
    const { resizeCorner } = METRICS;
    if (shape.kind === "node" && x > shape.width - resizeCorner && y > shape.height - resizeCorner) {
      return { kind: "node", id, part: "corner", widget: null };
    }
    const row = shape.rows.find((item) => y >= item.y && y < item.y + item.height);
    return { kind: "node", id, part: y < 0 ? "title" : "body", widget: row?.name ?? null };
  }

  /** The nearest link in reach; null for none. */
  linkNear(point: Point, reach: number): (Hit & { kind: "link" }) | null {
    let best: { id: LinkId; distance: number; stretch: number } | null = null;
    for (const id of this.linkIndex.query(grown({ ...point, width: 0, height: 0 }, reach))) {
      const found = distanceTo(this.curves.get(id) as LinkCurve, point);
      if (found.distance <= reach && (best === null || found.distance < best.distance)) best = { id, ...found };
    }
    return best === null ? null : { kind: "link", id: best.id, stretch: best.stretch };
  }

  private groupHit(point: Point): Hit | null {
    for (const [id, rect] of [...this.frames].reverse()) {
      if (!contains(rect, point)) continue;
      const [x, y] = [point.x - rect.x, point.y - rect.y];
      const { resizeCorner } = METRICS;
      if (x > rect.width - resizeCorner && y > rect.height - resizeCorner) return { kind: "group", id, part: "corner" };
      return { kind: "group", id, part: y < GROUP_TITLE ? "title" : "body" };
    }
    return null;
  }

  // -------------------------------------------------------------- placing

  private rebuild(): void {
    const { graph } = this;
    for (const map of [this.nodes, this.curves, this.points, this.frames]) map.clear();
    this.nodeIndex.clear();
    this.linkIndex.clear();
    this.placePanels();
    this.sort();
    for (const id of graph.nodes.ids) this.placeNode(id);
    this.placePoints();
    for (const id of graph.groups.ids) this.placeGroup(id);
    for (const id of graph.links.ids) this.placeLink(id);
  }

  private sort(): void {
    this.order = new Map(this.graph.nodes.ids.map((id, i) => [id, i]));
  }

  /** Its place from back to front. */
  rank(id: NodeId): number {
    return this.order.get(id) ?? -1;
  }

  private placePanels(): void {
    const { graph } = this;
    if (graph.holder === null) {
      this.panels = new Set();
      return;
    }
    const ids = [panelId(graph, "inputNode", INPUT_PANEL), panelId(graph, "outputNode", OUTPUT_PANEL)] as const;
    this.panels = new Set(ids);
    (["inputNode", "outputNode"] as const).forEach((key, i) => {
      const { x, y, shape } = panelShape(graph, key);
      this.put({ id: ids[i] as string, at: { x, y }, shape });
    });
  }

  private placeNode(id: NodeId): void {
    const { graph, context } = this;
    const node = graph.nodes.byId.get(id);
    if (node === undefined) {
      if (this.isPanel(id)) return;
      this.nodes.delete(id);
      this.nodeIndex.remove(id);
      return;
    }
    const title = titleOf(node, context.catalog, context.document);
    this.put({ id, at: positionOf(node), shape: nodeShape(node, widgetsOf(context, graph, node), title) });
  }

  private put(placed: PlacedNode): void {
    this.nodes.set(placed.id, placed);
    this.nodeIndex.put(placed.id, moved(placed.shape.outer, placed.at.x, placed.at.y));
  }

  private placePoints(): void {
    this.points.clear();
    for (const [id, point] of this.graph.reroutes.byId) this.points.set(id, positionOf(point));
  }

  private placeGroup(id: GroupId): void {
    const group = this.graph.groups.byId.get(id);
    if (group === undefined) this.frames.delete(id);
    else this.frames.set(id, groupRect(group));
  }

  private placeLink(id: LinkId): void {
    const { graph } = this;
    const link = graph.links.byId.get(id);
    const from = link === undefined ? null : this.socketAt(link.origin, "output", link.originSlot);
    const to = link === undefined ? null : this.socketAt(link.target, "input", link.targetSlot);
    if (link === undefined || from === null || to === null) {
      this.curves.delete(id);
      this.linkIndex.remove(id);
      return;
    }
    const points = link.parent === null ? [] : pointsOfLink(graph, link.parent).map(
      (point) => this.points.get(String(point.id)) ?? positionOf(point),
    );
    const curve = linkCurve([from, ...points, to], this.style);
    this.curves.set(id, curve);
    this.linkIndex.put(id, curve.bounds);
  }

  private linksOf(id: NodeId): LinkId[] {
    const node = this.graph.nodes.byId.get(id);
    if (node === undefined) return [];
    const incoming = inputsOf(node).map(inputLink).filter((link): link is string => link !== null);
    return [...incoming, ...outputsOf(node).flatMap(outputLinks)];
  }
}
