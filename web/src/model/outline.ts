/** A document as a tree: what is wrong, then every node with its links; inside of an instance the nodes it stands for. */

import type { Catalog } from "./catalog";
import {
  inputLink, inputsOf, inputWidget, isInstance, isKnownNode, modeOf, outputLinks, outputsOf, socketName, titleOf, typeOf,
} from "./node_reading";
import { MODE, NOTE_TYPES, ROOT, type GraphState, type LinkId, type NodeId, type NodeRecord, type WorkflowDocument } from "./records";
import { isArray } from "./json";

/** Something wrong, and the path of the node it is about: "7:2" is node 2 inside of what node 7 stands for. */
export interface Fault {
  readonly path: string | null;
  readonly message: string;
  readonly remedy: string;
  readonly input: string | null;
}

interface Item {
  readonly key: string;
  /** The instances that are walked through to get to its graph. */
  readonly way: readonly NodeId[];
  readonly children: () => readonly OutlineItem[];
}
export type OutlineItem = Item & (
  | { readonly kind: "faults"; readonly count: number }
  | { readonly kind: "fault"; readonly fault: Fault; readonly node: NodeId | null; readonly title: string }
  | {
      readonly kind: "node"; readonly node: NodeId; readonly title: string; readonly type: string;
      readonly mode: "always" | "muted" | "bypassed"; readonly isKnown: boolean; readonly numFaults: number;
    }
  | { readonly kind: "note"; readonly node: NodeId; readonly title: string; readonly text: string }
  | { readonly kind: "source" | "target"; readonly link: LinkId; readonly socket: string; readonly other: NodeId; readonly otherTitle: string; readonly otherSocket: string }
  | { readonly kind: "open"; readonly node: NodeId; readonly socket: string; readonly type: string }
);

export function outlineOf(document: WorkflowDocument, catalog: Catalog, faults: readonly Fault[]): readonly OutlineItem[] {
  const outline = new Outline(document, catalog, faults);
  const root = document.graphs.get(ROOT) as GraphState;
  return [...outline.faults(), ...outline.nodes(root, [])];
}

const NO_CHILDREN = (): readonly OutlineItem[] => [];
const MAX_NESTING = 64;

class Outline {
  private readonly document: WorkflowDocument;
  private readonly catalog: Catalog;
  private readonly all: readonly Fault[];

  constructor(document: WorkflowDocument, catalog: Catalog, faults: readonly Fault[]) {
    this.document = document;
    this.catalog = catalog;
    this.all = faults;
  }

  faults(): readonly OutlineItem[] {
    if (this.all.length === 0) return [];
    const children = () => this.all.map((fault, i): OutlineItem => {
      const ids = fault.path?.split(":") ?? [];
      const way = ids.slice(0, -1);
      const node = ids.at(-1) ?? null;
      const record = node === null ? undefined : this.graphAt(way)?.nodes.byId.get(node);
      return { kind: "fault", key: `fault ${i}`, way, node, fault, title: record === undefined ? "" : this.titleOf(record), children: NO_CHILDREN };
    });
    return [{ kind: "faults", key: "faults", way: [], count: this.all.length, children }];
  }

  nodes(graph: GraphState, way: readonly NodeId[]): readonly OutlineItem[] {
    return inOrder(graph).map((id) => this.node(graph, way, id, graph.nodes.byId.get(id) as NodeRecord));
  }

  private node(graph: GraphState, way: readonly NodeId[], node: NodeId, record: NodeRecord): OutlineItem {
    const path = [...way, node].join(":");
    const title = this.titleOf(record);
    const base = { key: `node ${path}`, way, node, title };
    if (NOTE_TYPES.has(typeOf(record))) {
      const text = isArray(record.widgets_values) ? String(record.widgets_values[0] ?? "") : "";
      return { ...base, kind: "note", text, children: NO_CHILDREN };
    }
    const mode = modeOf(record);
    return {
      ...base, kind: "node", type: typeOf(record),
      mode: mode === MODE.muted ? "muted" : mode === MODE.bypassed ? "bypassed" : "always",
      isKnown: isKnownNode(record, this.catalog, this.document),
      numFaults: this.all.filter((fault) => fault.path === path || fault.path?.startsWith(`${path}:`)).length,
      children: () => [...this.links(graph, way, node, record), ...this.inside(way, node, record)],
    };
  }

  private inside(way: readonly NodeId[], node: NodeId, record: NodeRecord): readonly OutlineItem[] {
    if (!isInstance(record, this.document) || way.length >= MAX_NESTING) return [];
    return this.nodes(this.document.graphs.get(typeOf(record)) as GraphState, [...way, node]);
  }

  private links(graph: GraphState, way: readonly NodeId[], node: NodeId, record: NodeRecord): readonly OutlineItem[] {
    const path = [...way, node].join(":");
    const base = { way, children: NO_CHILDREN };
    const incoming = inputsOf(record).flatMap((input, slot): OutlineItem[] => {
      const link = graph.links.byId.get(inputLink(input) ?? "");
      const socket = socketName(input);
      if (link === undefined) {
        if (inputWidget(input) !== null) return [];
        return [{ ...base, kind: "open", key: `open ${path} ${slot}`, node, socket, type: String(input.type ?? "") }];
      }
      const other = graph.nodes.byId.get(link.origin);
      const otherSocket = other === undefined ? "" : socketName(outputsOf(other)[link.originSlot] ?? {});
      return [{
        ...base, kind: "source", key: `from ${path} ${link.id}`, link: link.id, socket, other: link.origin,
        otherTitle: other === undefined ? "" : this.titleOf(other), otherSocket,
      }];
    });
    const outgoing = outputsOf(record).flatMap((output) => outputLinks(output).flatMap((id): OutlineItem[] => {
      const link = graph.links.byId.get(id);
      if (link === undefined) return [];
      const other = graph.nodes.byId.get(link.target);
      return [{
        ...base, kind: "target", key: `to ${path} ${id}`, link: id, socket: socketName(output), other: link.target,
        otherTitle: other === undefined ? "" : this.titleOf(other),
        otherSocket: other === undefined ? "" : socketName(inputsOf(other)[link.targetSlot] ?? {}),
      }];
    }));
    return [...incoming, ...outgoing];
  }

  private titleOf(record: NodeRecord): string {
    return titleOf(record, this.catalog, this.document);
  }

  private graphAt(way: readonly NodeId[]): GraphState | undefined {
    let graph = this.document.graphs.get(ROOT);
    for (const id of way) {
      const node = graph?.nodes.byId.get(id);
      graph = node === undefined ? undefined : this.document.graphs.get(typeOf(node));
    }
    return graph;
  }
}

/** Nodes as they run: sources before what they feed, otherwise as they are in the file; those in a circle come last. */
export function inOrder(graph: GraphState): readonly NodeId[] {
  const waits = new Map<NodeId, number>(graph.nodes.ids.map((id) => [id, 0]));
  const feeds = new Map<NodeId, NodeId[]>();
  for (const { origin, target } of graph.links.byId.values()) {
    if (!waits.has(origin) || !waits.has(target)) continue;
    waits.set(target, (waits.get(target) ?? 0) + 1);
    feeds.set(origin, [...(feeds.get(origin) ?? []), target]);
  }
  const found: NodeId[] = [];
  const ready = graph.nodes.ids.filter((id) => waits.get(id) === 0).toReversed();
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    found.push(id);
    for (const next of feeds.get(id) ?? []) {
      const left = (waits.get(next) ?? 0) - 1;
      waits.set(next, left);
      if (left === 0) ready.push(next);
    }
  }
  const placed = new Set(found);
  return [...found, ...graph.nodes.ids.filter((id) => !placed.has(id))];
}
