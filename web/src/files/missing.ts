/** What a document needs and this server does not have: node types, and files by the folder they belong in. */

import { fileChoices, type Catalog, type FileLister } from "../model/catalog";
import { isKnownNode, typeOf } from "../model/node_reading";
import type { WorkflowDocument } from "../model/records";
import { widgetsOf } from "../model/widgets";

export interface MissingFile {
  readonly name: string;
  readonly folder: string;
}

export interface Missing {
  readonly types: readonly string[];
  readonly files: readonly MissingFile[];
}

export function missingIn(document: WorkflowDocument, catalog: Catalog, listFiles: FileLister): Missing {
  const types = new Set<string>();
  const files = new Map<string, MissingFile>();
  const context = { document, catalog, listFiles };
  for (const graph of document.graphs.values()) {
    for (const node of graph.nodes.byId.values()) {
      if (!isKnownNode(node, catalog, document)) types.add(typeOf(node));
      for (const { spec, value } of widgetsOf(context, graph, node)) {
        const choices = spec === null ? null : fileChoices(spec);
        if (choices === null || typeof value !== "string" || value === "") continue;
        if (choices.also.includes(value) || listFiles(choices).includes(value)) continue;
        files.set(`${choices.folder}/${value}`, { name: value, folder: choices.folder });
      }
    }
  }
  return { types: [...types].sort(), files: [...files.values()] };
}
