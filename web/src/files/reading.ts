/** The workflow in a file somebody dropped: JSON, or a picture or latent that carries one. */

import { isObject, type Json } from "../model/json";
import { parseJson } from "../model/json_text";
import { isWorkflow } from "../model/workflow_file";
import { textsOf } from "./picture_metadata";

/** Why a file cannot be opened. */
export type Unreadable = "file.notJson" | "file.noGraph" | "file.apiFormat";

export class UnreadableFile extends Error {
  readonly reason: Unreadable;

  constructor(reason: Unreadable) {
    super(reason);
    this.reason = reason;
  }
}

/** Raises UnreadableFile. */
export function workflowIn(data: Uint8Array, name: string): Json {
  const isText = /\.json$/i.test(name) || data[0] === 0x7b;
  if (isText) return asWorkflow(new TextDecoder().decode(data));
  const texts = textsOf(data);
  const found = texts.get("workflow");
  if (found !== undefined) return asWorkflow(found);
  throw new UnreadableFile(texts.has("prompt") ? "file.apiFormat" : "file.noGraph");
}

function asWorkflow(text: string): Json {
  let value: Json;
  try {
    value = parseJson(text);
  } catch {
    throw new UnreadableFile("file.notJson");
  }
  if (isWorkflow(value)) return value;
  const isApi = isObject(value) && Object.values(value).some((item) => isObject(item) && "class_type" in item);
  throw new UnreadableFile(isApi ? "file.apiFormat" : "file.noGraph");
}
