/** What is wrong with a document, as people read it: complaints of the server and errors of nodes. */

import { isArray, isObject, type JsonObject } from "../model/json";
import type { OpenDocument } from "../model/open_document";
import type { NodeId } from "../model/records";

export interface Problem {
  readonly document: OpenDocument;
  /** As in the prompt: "3", or "7:2" for a node inside a subgraph. */
  readonly node: NodeId | null;
  readonly input: string | null;
  readonly title: string;
  readonly message: string;
  readonly remedy: string;
}

/** Reads complaints and errors of unknown quality; what is none is left out. */
export function problemsOf(document: OpenDocument, found: unknown): readonly Problem[] {
  return isArray(found) ? found.filter(isObject).map((item) => problemOf(document, item)) : [];
}

function problemOf(document: OpenDocument, item: JsonObject): Problem {
  const text = (key: string) => (typeof item[key] === "string" ? item[key] : "");
  return {
    document, node: text("node") || null, input: text("input") || null, title: text("title") || text("node_type"),
    message: text("message") || text("code"), remedy: text("remedy") || text("hint"),
  };
}
