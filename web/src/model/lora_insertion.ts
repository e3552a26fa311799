/** A LoRA chosen while a text is written: its loader is put between the weights the text is read with and all that uses them. */

import { choicesOf, type Catalog, type FileLister } from "./catalog";
import type { Edit } from "./edit";
import { connect } from "./link_edits";
import { addNode, setWidget } from "./node_edits";
import { inputLink, inputsOf, outputLinks, outputsOf, positionOf, savedSizeOf, type Point } from "./node_reading";
import type { GraphId, GraphState, NodeId } from "./records";
import { socketType } from "./socket_types";

export const LORA_LOADER = "LoraLoader";
const TYPES = ["MODEL", "CLIP"] as const;
const GAP = 70;
const USUAL = { width: 270, height: 130 };

/** The node whose model and text encoder a LoRA would change for a text: the first on the way up that gives both. */
export function loraSource(graph: GraphState, text: NodeId): NodeId | null {
  const seen = new Set<NodeId>();
  for (let id: NodeId | null = originOfClip(graph, text); id !== null && !seen.has(id); id = originOfClip(graph, id)) {
    seen.add(id);
    const node = graph.nodes.byId.get(id);
    if (node === undefined) return null;
    const given = new Set(outputsOf(node).map(socketType));
    if (TYPES.every((type) => given.has(type))) return id;
  }
  return null;
}

function originOfClip(graph: GraphState, id: NodeId): NodeId | null {
  const node = graph.nodes.byId.get(id);
  const input = node && inputsOf(node).find((item) => socketType(item) === "CLIP" && inputLink(item) !== null);
  return (input && graph.links.byId.get(inputLink(input) ?? "")?.origin) ?? null;
}

/** The files the loader offers. */
export function loraFiles({ catalog, listFiles }: { readonly catalog: Catalog; readonly listFiles: FileLister }): readonly string[] {
  const input = catalog.get(LORA_LOADER)?.inputs.find(({ name }) => name === "lora_name");
  const choices = (input && choicesOf(input, listFiles)) ?? [];
  return choices.filter((item): item is string => typeof item === "string");
}

/** Puts the loader of a file there; its id, or null where the text has no such source or the loader is not known. */
export function insertLora(
  edit: Edit, graph: GraphId, text: NodeId, file: string, catalog: Catalog, listFiles: FileLister,
): NodeId | null {
  const state = edit.graph(graph);
  const source = loraSource(state, text);
  const node = source === null ? undefined : state.nodes.byId.get(source);
  if (source === null || node === undefined) return null;
  const loader = addNode(edit, graph, LORA_LOADER, freePlace(state, source), catalog, listFiles);
  const made = loader === null ? undefined : edit.get(graph, "nodes", loader);
  if (loader === null || made === undefined) return null;
  for (const type of TYPES) {
    const given = outputsOf(node).findIndex((item) => socketType(item) === type);
    const [input, output] = [inputsOf(made), outputsOf(made)].map((list) => list.findIndex((item) => socketType(item) === type)) as [number, number];
    for (const id of outputLinks(outputsOf(node)[given])) {
      const link = edit.get(graph, "links", id);
      if (link !== undefined) connect(edit, graph, { node: loader, slot: output }, { node: link.target, slot: link.targetSlot });
    }
    connect(edit, graph, { node: source, slot: given }, { node: loader, slot: input });
  }
  setWidget(edit, graph, loader, "lora_name", file, catalog, listFiles);
  return loader;
}

/** Below the source, and below what lies there already. */
function freePlace(graph: GraphState, source: NodeId): Point {
  const boxes = [...graph.nodes.byId].map(([id, node]) => ({ id, ...positionOf(node), ...(savedSizeOf(node) ?? USUAL) }));
  const own = boxes.find(({ id }) => id === source) ?? { x: 0, y: 0, ...USUAL };
  const column = boxes.filter(({ x, width }) => x < own.x + USUAL.width && own.x < x + width).sort((one, other) => one.y - other.y);
  let y = own.y + own.height + GAP;
  for (const box of column) {
    if (box.y < y + USUAL.height + GAP && y < box.y + box.height + GAP) y = box.y + box.height + GAP;
  }
  return { x: own.x, y };
}
