/** Node specs as the server's catalog publishes them (`GET /api/v1/catalog`), read-only. */

import type { Json, JsonObject } from "./json";

/** Choices that are the files of a folder at the moment of asking. */
export interface FileChoices {
  readonly folder: string;
  readonly media: string;
  readonly also: readonly string[];
}

export interface InputSpec {
  readonly name: string;
  readonly type: string;
  readonly presence: "required" | "optional" | "hidden";
  readonly options: JsonObject;
  readonly choices: readonly Json[] | { readonly files: FileChoices } | null;
  readonly is_wildcard: boolean;
}

export interface OutputSpec {
  readonly name: string;
  readonly type: string;
  readonly is_list: boolean;
  readonly tooltip: string;
  readonly is_wildcard: boolean;
}

export interface NodeSpec {
  readonly name: string;
  readonly title: string;
  readonly category: string;
  readonly description: string;
  readonly inputs: readonly InputSpec[];
  readonly outputs: readonly OutputSpec[];
  readonly is_output_node: boolean;
  readonly is_deprecated: boolean;
  readonly is_experimental: boolean;
  readonly search_aliases: readonly string[];
  readonly any_input: InputSpec | null;
  readonly pack: string;
}

/** Lists the files behind choices; an empty list when they are not known (yet). */
export type FileLister = (choices: FileChoices) => readonly string[];

/** All known node types. Two catalogs of one digest are equal. */
export class Catalog {
  readonly digest: string;
  readonly specs: ReadonlyMap<string, NodeSpec>;

  constructor(nodes: { readonly [name: string]: NodeSpec }, digest = "") {
    this.specs = new Map(Object.entries(nodes));
    this.digest = digest;
  }

  get(type: string): NodeSpec | undefined {
    return this.specs.get(type);
  }
}

/** Required inputs, then optional ones, in declared order. */
export function visibleInputs(spec: NodeSpec): readonly InputSpec[] {
  return [
    ...spec.inputs.filter((item) => item.presence === "required"),
    ...spec.inputs.filter((item) => item.presence === "optional"),
  ];
}

export function fileChoices(item: InputSpec): FileChoices | null {
  return item.choices !== null && "files" in item.choices ? item.choices.files : null;
}

/** The values a widget offers; null where it is not a choice out of a list. */
export function choicesOf(item: InputSpec, listFiles: FileLister): readonly Json[] | null {
  if (item.type !== "COMBO" || item.choices === null) return null;
  const files = fileChoices(item);
  return files === null ? (item.choices as readonly Json[]) : [...listFiles(files), ...files.also];
}
