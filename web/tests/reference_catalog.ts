/** The node list of the reference server as a catalog, and the recorded conversions: the data of the Python tests. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Catalog, type FileChoices, type InputSpec, type NodeSpec } from "../src/model/catalog";
import { isArray, type Json, type JsonObject } from "../src/model/json";
import { parseJson, writeJson } from "../src/model/json_text";

const REFERENCE = join(import.meta.dirname, "../../tests/data/reference");
const FOLDER = /^(?<folder>input)(?:\((?<media>[^)]*)\)|\/(?<below>\w+) \(.*\))?$/;
const NOT_OPTIONS = new Set(["type", "options", "files", "also", "image_folder"]);

export interface ConversionCase {
  readonly case: string;
  readonly workflow: JsonObject;
  readonly editor_1_58: JsonObject;
  readonly editor_1_27?: JsonObject;
}

function lines(name: string): JsonObject[] {
  const text = readFileSync(join(REFERENCE, name), "utf-8");
  return text.split("\n").filter((line) => line.trim() !== "").map((line) => parseJson(line) as JsonObject);
}

export function conversionCases(): readonly ConversionCase[] {
  return lines("conversion_cases.jsonl") as unknown as ConversionCase[];
}

let catalog: Catalog | null = null;

export function referenceCatalog(): Catalog {
  catalog ??= new Catalog(Object.fromEntries(lines("nodes.jsonl").map((row) => [row.name as string, specOf(row)])));
  return catalog;
}

function specOf(row: JsonObject): NodeSpec {
  const inputs = (["required", "optional"] as const).flatMap((presence) =>
    Object.entries((row[presence] ?? {}) as Record<string, JsonObject>).map(([name, item]) =>
      inputOf(name, item, presence)),
  );
  const outputs = row.outputs as unknown as { name: string; type: string; is_list?: boolean }[];
  return {
    name: row.name as string,
    title: (row.display_name ?? "") as string,
    category: (row.category ?? "") as string,
    description: (row.description ?? "") as string,
    inputs,
    outputs: outputs.map((o) => ({
      name: o.name, type: o.type, is_list: o.is_list === true, tooltip: "", is_wildcard: o.type === "*",
    })),
    is_output_node: row.output_node === true,
    is_deprecated: row.deprecated === true,
    is_experimental: row.experimental === true,
    search_aliases: [],
    any_input: null,
    pack: "nodes",
  };
}

function inputOf(name: string, item: JsonObject, presence: "required" | "optional"): InputSpec {
  const options = Object.fromEntries(Object.entries(item).filter(([key]) => !NOT_OPTIONS.has(key)));
  const type = item.type as string;
  return { name, type, presence, options, choices: type === "COMBO" ? choicesOf(item) : null, is_wildcard: type === "*" };
}

function choicesOf(item: JsonObject): InputSpec["choices"] {
  if (isArray(item.options)) return item.options;
  const files = (folder: string, media: string): { files: FileChoices } => ({
    files: { folder, media, also: (isArray(item.also) ? item.also : []) as string[] },
  });
  if (typeof item.files !== "string") return files(String(item.image_folder), "image");
  const match = FOLDER.exec(item.files)?.groups;
  if (match === undefined) return files(item.files, "");
  return files("input", match.below === undefined ? (match.media ?? "") : `${match.below}/*`);
}

export const NO_FILES = (): readonly string[] => [];
/** A value as it stands in a file. */
export const plain = (value: unknown): Json => parseJson(writeJson(value as Json));
