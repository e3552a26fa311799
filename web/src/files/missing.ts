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
}

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
  const sources = sourcesIn(document);
  for (const graph of document.graphs.values()) {
    for (const node of graph.nodes.byId.values()) {
      if (!isKnownNode(node, catalog, document)) types.add(typeOf(node));
      for (const { spec, value } of widgetsOf(context, graph, node)) {
        const choices = spec === null ? null : fileChoices(spec);
        if (choices === null || typeof value !== "string" || value === "") continue;
        if (choices.also.includes(value) || listFiles(choices).includes(value)) continue;
        files.set(`${choices.folder}/${value}`, { name: value, folder: choices.folder, source: sources.get(lastPart(value)) ?? null });
      }
    }
  }
  return { types: [...types].sort(), files: [...files.values()] };
}

/** The models a file describes, on its nodes and as a whole, by the names of their files; those that can be fetched. */
function sourcesIn(document: WorkflowDocument): ReadonlyMap<string, ModelSource> {
  const found = new Map<string, ModelSource>();
  const take = (models: Json | undefined) => {
    for (const item of isArray(models) ? models : []) {
      if (!isObject(item) || typeof item.name !== "string" || typeof item.url !== "string") continue;
      const isFetched = item.url.startsWith("https://") && item.name.endsWith(".safetensors");
      const isSha256 = String(item.hash_type ?? "").toLowerCase().replace("-", "") === "sha256" && SHA256.test(String(item.hash));
      if (isFetched) found.set(lastPart(item.name), { url: item.url, ...(isSha256 ? { sha256: String(item.hash) } : {}) });
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
