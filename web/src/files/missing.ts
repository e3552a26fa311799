/** What a document needs and this server does not have: node types, and files by the folder they belong in. */

import { fileChoices, type Catalog, type FileLister } from "../model/catalog";
import { isArray, isObject, type Json } from "../model/json";
import { isKnownNode, typeOf } from "../model/node_reading";
import type { WorkflowDocument } from "../model/records";
import { widgetsOf } from "../model/widgets";

const SHA256 = /^[0-9a-f]{64}$/i;

export interface MissingFile {
  readonly name: string;
  readonly folder: string;
  /** Where it can be downloaded, when the workflow says so; "sha256" when it says that too. */
  readonly source: ModelSource | null;
  /** Under which terms, when the workflow says so. */
  readonly license?: string;
}

type ModelFacts = Pick<MissingFile, "source" | "license">;

export interface ModelSource {
  readonly url: string;
  readonly sha256?: string;
}

export interface Missing {
  readonly types: readonly string[];
  readonly files: readonly MissingFile[];
}

export function missingIn(document: WorkflowDocument, catalog: Catalog, listFiles: FileLister): Missing {
  const types = new Set<string>();
  const files = new Map<string, MissingFile>();
  const context = { document, catalog, listFiles };
  const facts = factsIn(document);
  for (const graph of document.graphs.values()) {
    for (const node of graph.nodes.byId.values()) {
      if (!isKnownNode(node, catalog, document)) types.add(typeOf(node));
      for (const { spec, value } of widgetsOf(context, graph, node)) {
        const choices = spec === null ? null : fileChoices(spec);
        if (choices === null || typeof value !== "string" || value === "") continue;
        if (choices.also.includes(value) || listFiles(choices).includes(value)) continue;
        files.set(`${choices.folder}/${value}`, { name: value, folder: choices.folder, ...(facts.get(lastPart(value)) ?? { source: null }) });
      }
    }
  }
  return { types: [...types].sort(), files: [...files.values()] };
}

/** What a file says of models, on its nodes and as a whole, by the names of their files. */
function factsIn(document: WorkflowDocument): ReadonlyMap<string, ModelFacts> {
  const found = new Map<string, ModelFacts>();
  const take = (models: Json | undefined) => {
    for (const item of isArray(models) ? models : []) {
      if (!isObject(item) || typeof item.name !== "string") continue;
      const name = lastPart(item.name);
      const url = typeof item.url === "string" && item.url.startsWith("https://") && name.endsWith(".safetensors") ? item.url : null;
      const isSha256 = String(item.hash_type ?? "").toLowerCase().replace("-", "") === "sha256" && SHA256.test(String(item.hash));
      const source = url === null ? found.get(name)?.source ?? null : { url, ...(isSha256 ? { sha256: String(item.hash) } : {}) };
      found.set(name, { source, ...(typeof item.license === "string" ? { license: item.license } : {}) });
    }
  };
  for (const graph of document.graphs.values()) {
    take(graph.rest.models);
    for (const node of graph.nodes.byId.values()) if (isObject(node.properties)) take(node.properties.models);
  }
  return found;
}

function lastPart(name: string): string {
  return name.split(/[\\/]/).at(-1) ?? name;
}
