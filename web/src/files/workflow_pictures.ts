/** Pictures that carry a workflow: where it is in a PNG and in an SVG, as files of this family have it. */

import type { Json } from "../model/json";
import { parseJson, writeJson } from "../model/json_text";
import { withTexts } from "./png_writing";

const MAX_METADATA = 64 * 1024 * 1024;
const CDATA = "<![CDATA[";

/** A PNG file with the workflow in a tEXt chunk. Those are Latin 1: letters beyond ASCII are escapes of JSON. */
export function pngWithWorkflow(png: Uint8Array, workflow: Json): Uint8Array {
  const text = writeJson(workflow).replace(/[\u007f-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return withTexts(png, new Map([["workflow", text]]), "tEXt");
}

/** The element of an SVG document that holds the workflow. A CDATA section ends at the first ]]>. */
export function svgMetadata(workflow: Json): string {
  return `<metadata><![CDATA[${writeJson({ workflow }).replaceAll("]]>", "]]\\u003e")}]]></metadata>`;
}

/** Texts by keyword ("workflow", "prompt") of the metadata of an SVG document; null when it is none. */
export function svgTexts(document: string): Map<string, string> | null {
  if (!/^\ufeff?\s*<(?:\?xml|!--|!DOCTYPE|(?:\w+:)?svg[\s>])/i.test(document)) return null;
  const found = new Map<string, string>();
  const start = document.search(/<(?:\w+:)?metadata[\s>]/);
  const open = start < 0 ? -1 : document.indexOf(">", start);
  if (open < 0) return found;
  const rest = document.slice(open + 1, open + 1 + MAX_METADATA).trimStart();
  const isPlain = rest.startsWith(CDATA);
  const inner = isPlain ? rest.slice(CDATA.length, rest.indexOf("]]>")) : rest.slice(0, rest.indexOf("</"));
  if (!inner.trimStart().startsWith("{")) return found;
  const value = parseJson(isPlain ? inner : unescaped(inner));
  if (typeof value !== "object" || value === null || Array.isArray(value)) return found;
  for (const [key, item] of Object.entries(value as { readonly [key: string]: Json })) {
    found.set(key, typeof item === "string" ? item : writeJson(item));
  }
  return found;
}

const ENTITIES: Readonly<Record<string, string>> = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&" };

function unescaped(text: string): string {
  return text.replace(/&(?:lt|gt|quot|apos|amp);/g, (entity) => ENTITIES[entity] ?? entity);
}
