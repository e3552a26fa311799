/** Saved workflows, the catalog, jobs and uploads, in the terms of the editor's model. */

import { Catalog, type FileChoices, type FileLister, type NodeSpec } from "../model/catalog";
import { weightName } from "../model/completion";
import type { Prompt } from "../model/compile/compile";
import { isArray, type Json, type JsonObject } from "../model/json";
import type { Job, Submitted, Uploaded, Workflow } from "./api_types";
import type { RunPreview } from "../model/run_facts";
import { ServerError, urlOf, type Client } from "./client";

/** A document of the server and the ETag under which it may be replaced. */
export interface Stored {
  readonly document: Json;
  readonly etag: string;
}

export async function loadCatalog(client: Client): Promise<Catalog> {
  const value = (await client.call("GET /catalog", {})) as JsonObject;
  return new Catalog((value.nodes ?? {}) as unknown as { [name: string]: NodeSpec }, String(value.digest ?? ""));
}

export function listWorkflows(client: Client): Promise<readonly Workflow[]> {
  return client.call("GET /workflows", {});
}

export async function readWorkflow(client: Client, name: string): Promise<Stored> {
  const answer = await client.ask("GET /workflows/{name}", { path: { name } });
  return { document: answer.value as Json, etag: answer.headers.get("ETag") ?? "" };
}

/** `etag` is that of the document that is replaced, null for a new one. Raises ServerError 412 on a conflict. */
export async function saveWorkflowAs(
  client: Client, name: string, document: JsonObject, etag: string | null,
): Promise<string> {
  const headers = etag === null ? { "If-None-Match": "*" } : { "If-Match": etag };
  const answer = await client.ask("PUT /workflows/{name}", { path: { name }, headers, body: document });
  return answer.headers.get("ETag") ?? "";
}

export function isConflict(error: unknown): boolean {
  return error instanceof ServerError && error.status === 412;
}

/** Where an unfinished picture is read: another address for each one. */
export function previewAddress({ job, node, atS }: RunPreview): string {
  return urlOf("/jobs/{job}/previews/{node}", { job, node }, { at: atS });
}

export interface SubmitOptions {
  readonly front?: boolean;
  /** High runs first; 0 by default. */
  readonly priority?: number;
  /** What the workflow is called: pictures are found by it. */
  readonly name?: string;
  /** The outputs that are asked for; all of them by default. */
  readonly targets?: readonly string[] | null;
  readonly id: string;
}

/** Queues a prompt, whose unfinished pictures are wanted; the workflow goes into the files it makes. */
export function submitPrompt(client: Client, prompt: Prompt, workflow: JsonObject, options: SubmitOptions): Promise<Submitted> {
  const body = {
    prompt: prompt as unknown as JsonObject,
    extra: { extra_pnginfo: { workflow }, preview_method: "auto", ...nameFor(options.name) },
    id: options.id,
    front: options.front ?? false,
    priority: options.priority ?? 0,
    ...(options.targets ? { targets: options.targets } : {}),
  };
  return client.call("POST /jobs", { body });
}

/** The part of a job's extra that says which workflow it is. */
export function nameFor(name = ""): JsonObject {
  return name === "" ? {} : { workflow_name: name };
}

export function cancelJob(client: Client, job: string): Promise<Job> {
  return client.call("POST /jobs/{job}/cancel", { path: { job } });
}

/** As prompts write them; none where the server has no such folder. */
export async function embeddingNames(client: Client): Promise<readonly string[]> {
  try {
    const files = await client.call("GET /models/{folder}", { path: { folder: "embeddings" } });
    return files.map((file) => weightName(file.name));
  } catch {
    return [];
  }
}

/** Sends a file into the input folder. */
export function upload(client: Client, file: File, subfolder = ""): Promise<Uploaded> {
  const form = new FormData();
  if (subfolder !== "") form.set("subfolder", subfolder);
  form.set("file", file, file.name);
  return client.call("POST /assets", { body: form });
}

/** The files behind choices, asked for once; `load` them for the types a document uses, then `list` answers. */
export class FileNames {
  private readonly client: Client;
  private readonly known = new Map<string, readonly string[]>();

  constructor(client: Client) {
    this.client = client;
  }

  readonly list: FileLister = (choices) => this.known.get(keyOf(choices)) ?? [];

  /** Ask for the choices of node types; those that are known are asked for again. */
  async load(catalog: Catalog, types: Iterable<string>): Promise<void> {
    for (const type of new Set(types)) {
      const spec = catalog.get(type);
      if (spec === undefined) continue;
      const wanted = spec.inputs.flatMap((item) =>
        item.choices !== null && "files" in item.choices ? [{ name: item.name, files: item.choices.files }] : [],
      );
      if (wanted.length === 0) continue;
      const found = (await this.client.call("GET /catalog/nodes/{name}/choices", { path: { name: type } })) as JsonObject;
      for (const { name, files } of wanted) {
        const names = found[name];
        if (isArray(names)) this.known.set(keyOf(files), names.filter((item): item is string => typeof item === "string"));
      }
    }
  }
}

function keyOf(choices: FileChoices): string {
  return `${choices.folder}\n${choices.media}`;
}
