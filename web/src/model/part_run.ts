/** A part of a prompt: what leads to a node, or what comes out of it. The server's cache does the rest. */

import type { Catalog } from "./catalog";
import { isArray, type Json } from "./json";
import type { Prompt, PromptNode } from "./compile/compile";
import type { NodeId } from "./records";

export interface PartRun {
  readonly prompt: Prompt;
  /** The outputs that are asked for. */
  readonly targets: readonly string[];
}

/** Which way, and of which node of the graph that is shown; `isRoot` where that is the outermost. */
export interface Part {
  readonly way: "to" | "after";
  readonly node: NodeId;
  readonly isRoot: boolean;
}

/** What shows a value of a node that shows nothing itself, by type; anything else is shown as text. */
const SHOWN_BY: { readonly [type: string]: readonly [string, string] } = { IMAGE: ["PreviewImage", "images"], MASK: ["MaskPreview", "mask"] };

/** Null when the node takes no part in the run, or nothing of it can be shown. */
export function partOf(prompt: Prompt, part: Part, catalog: Catalog): PartRun | null {
  const { node, isRoot } = part;
  const own = Object.keys(prompt).filter((id) => isRoot ? id === node || id.startsWith(`${node}:`) : id.endsWith(`:${node}`));
  const found = part.way === "to" ? ending(prompt, own, catalog) : leaving(prompt, own, catalog);
  return found.targets.length === 0 ? null : found;
}

/** Where nothing shows what the node makes, something that does is put behind it, below its own id. */
function ending(prompt: Prompt, own: readonly string[], catalog: Catalog): PartRun {
  const fed = new Set(own.flatMap((id) => sourcesOf(prompt[id] as PromptNode)));
  const added: [string, PromptNode][] = [];
  const targets: string[] = [];
  for (const id of own) {
    const spec = catalog.get(prompt[id]?.class_type ?? "");
    if (fed.has(id) || spec === undefined) continue;
    const [output] = spec.outputs;
    if (spec.is_output_node) targets.push(id);
    else if (output !== undefined) {
      const [type, input] = SHOWN_BY[output.type] ?? ["PreviewAny", "source"];
      if (catalog.get(type) === undefined) continue;
      const shown = `${id}:shown`;
      added.push([shown, { class_type: type, inputs: { [input]: [id, 0] }, _meta: { title: type } }]);
      targets.push(shown);
    }
  }
  return { prompt: { ...prompt, ...Object.fromEntries(added) }, targets };
}

function leaving(prompt: Prompt, own: readonly string[], catalog: Catalog): PartRun {
  const after = new Map<string, string[]>();
  for (const [id, node] of Object.entries(prompt)) {
    for (const source of sourcesOf(node)) after.set(source, [...(after.get(source) ?? []), id]);
  }
  const seen = new Set(own);
  for (const id of seen) for (const next of after.get(id) ?? []) seen.add(next);
  return { prompt, targets: [...seen].filter((id) => catalog.get(prompt[id]?.class_type ?? "")?.is_output_node === true) };
}

function sourcesOf(node: PromptNode): string[] {
  return Object.values(node.inputs).flatMap((value: Json) => (isArray(value) && typeof value[0] === "string" ? [value[0]] : []));
}
