/** Automatic layout: the graph as layers from left to right. The layered algorithm itself is passed in. */

import type { GraphState, NodeId } from "../model/records";
import type { Scene } from "./scene";
import type { Point } from "./shapes";

/** A graph as layered-layout engines take it (ELK's JSON). */
export interface LayoutGraph {
  readonly id: string;
  readonly layoutOptions: { readonly [key: string]: string };
  readonly children: { id: string; width: number; height: number; ports: LayoutPort[]; layoutOptions: object }[];
  readonly edges: { id: string; sources: string[]; targets: string[] }[];
}
interface LayoutPort {
  readonly id: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}
/** Answers with the same graph and a place for every child. */
export type LayoutEngine = (
  graph: LayoutGraph,
) => Promise<{ children?: readonly { id: string; x?: number; y?: number }[] }>;

const OPTIONS = {
  "elk.algorithm": "layered",
  "elk.direction": "RIGHT",
  "elk.layered.spacing.nodeNodeBetweenLayers": "80",
  "elk.spacing.nodeNode": "40",
  "elk.layered.nodePlacement.strategy": "NETWORK_SIMPLEX",
  "elk.separateConnectedComponents": "true",
};

/** New places for the named nodes, or for all, but for those that are pinned; their top left corner stays where it is. */
export async function arranged(
  scene: Scene, engine: LayoutEngine, only?: ReadonlySet<NodeId>,
): Promise<ReadonlyMap<NodeId, Point>> {
  const { graph } = scene;
  const ids = graph.nodes.ids.filter((id) => !scene.isPinned(id) && (only === undefined || only.has(id)));
  const before = scene.bounds(ids);
  if (before === null) return new Map();
  const answer = await engine(layoutGraph(scene, graph, new Set(ids)));
  const places = new Map<NodeId, Point>();
  for (const child of answer.children ?? []) {
    const titleHeight = scene.node(child.id)?.shape.titleHeight ?? 0;
    places.set(child.id, { x: child.x ?? 0, y: (child.y ?? 0) + titleHeight });
  }
  const corner = {
    x: Math.min(...[...places.values()].map((at) => at.x)),
    y: Math.min(...(answer.children ?? []).map((child) => child.y ?? 0)),
  };
  return new Map([...places].map(([id, at]) => [
    id, { x: Math.round(at.x - corner.x + before.x), y: Math.round(at.y - corner.y + before.y) },
  ]));
}

function layoutGraph(scene: Scene, graph: GraphState, ids: ReadonlySet<NodeId>): LayoutGraph {
  const port = (node: NodeId, side: "in" | "out", slot: number) => `${node} ${side} ${slot}`;
  return {
    id: "graph",
    layoutOptions: OPTIONS,
    children: [...ids].map((id) => {
      const { shape } = scene.node(id) as NonNullable<ReturnType<Scene["node"]>>;
      const ports = [...shape.inputs, ...shape.outputs].map((socket) => ({
        id: port(id, socket.side === "input" ? "in" : "out", socket.slot),
        x: socket.x, y: socket.y + shape.titleHeight, width: 0, height: 0,
      }));
      const { width, height } = shape.outer;
      return { id, width, height, ports, layoutOptions: { "elk.portConstraints": "FIXED_POS" } };
    }),
    edges: [...graph.links.byId.values()]
      .filter((link) => ids.has(link.origin) && ids.has(link.target) && scene.curve(link.id) !== undefined)
      .map((link) => ({
        id: `link ${link.id}`,
        sources: [port(link.origin, "out", link.originSlot)],
        targets: [port(link.target, "in", link.targetSlot)],
      })),
  };
}
