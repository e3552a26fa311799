/** What is open and what runs. Holds the documents; React only shows `useStore` of it, the canvas reads it directly. */

import { createStore, type StoreApi } from "zustand/vanilla";
import { Catalog } from "../model/catalog";
import { compileWorkflow } from "../model/compile/compile";
import { isObject, type Json } from "../model/json";
import { typeOf } from "../model/node_reading";
import { OpenDocument } from "../model/open_document";
import type { NodeId, WorkflowDocument } from "../model/records";
import { advanceSeeds } from "../model/seeds";
import type { WidgetContext } from "../model/widgets";
import { emptyWorkflow, loadWorkflow, saveWorkflow } from "../model/workflow_file";
import type { Workflow } from "../server/api_types";
import type { Client } from "../server/client";
import type { MenuRequest, SearchRequest } from "./requests";
import { followJob, type JobEvent } from "../server/job_events";
import {
  FileNames, isConflict, listWorkflows, loadCatalog, readWorkflow, saveWorkflowAs, submitPrompt,
} from "../server/workflows";

/** A job of this session and the document it came from. */
export interface RunState {
  readonly job: string;
  readonly document: OpenDocument;
  readonly state: "waiting" | "running" | "ended";
  readonly node: NodeId | null;
  readonly progress: number | null;
  readonly message: string;
  readonly pictures: readonly string[];
}

export interface SessionState {
  readonly open: OpenDocument;
  /** The name on the server, and the ETag it was read under; null for a document that was never saved. */
  readonly saved: { readonly name: string; readonly etag: string } | null;
  readonly catalog: Catalog;
  readonly workflows: readonly Workflow[];
  readonly run: RunState | null;
  readonly notice: { readonly text: string; readonly isError: boolean } | null;
}

export interface SessionEnvironment {
  readonly nowMs: () => number;
  readonly random: () => number;
}

const PROGRESS_EVERY_MS = 100;

export class Session {
  readonly store: StoreApi<SessionState>;
  readonly files: FileNames;
  /** Opens the search for nodes; null while no page shows one. */
  openSearch: ((request: SearchRequest) => void) | null = null;
  /** Opens the menu of a node, link, group or the void; null while no page shows one. */
  openMenu: ((request: MenuRequest) => void) | null = null;
  private readonly client: Client;
  private readonly environment: SessionEnvironment;

  constructor(client: Client, environment: SessionEnvironment) {
    this.client = client;
    this.environment = environment;
    this.files = new FileNames(client);
    this.store = createStore<SessionState>(() => ({
      open: new OpenDocument(emptyWorkflow(), environment.nowMs),
      saved: null, catalog: new Catalog({}), workflows: [], run: null, notice: null,
    }));
  }

  /** What reading a document's widgets needs. */
  contextOf(document: WorkflowDocument): WidgetContext {
    return { document, catalog: this.store.getState().catalog, listFiles: this.files.list };
  }

  /** Load the catalog and, when one is named, a workflow. */
  async start(workflow: string | null): Promise<void> {
    await this.told(async () => {
      const [catalog, workflows] = await Promise.all([loadCatalog(this.client), listWorkflows(this.client)]);
      this.store.setState({ catalog, workflows });
      if (workflow !== null) await this.openSaved(workflow);
    });
  }

  openSaved(name: string): Promise<void> {
    return this.told(async () => {
      const { document, etag } = await readWorkflow(this.client, name);
      await this.show(document, { name, etag });
    });
  }

  /** Open a parsed file. */
  openValue(value: Json): Promise<void> {
    return this.told(() => this.show(value, null));
  }

  private async show(value: Json, saved: SessionState["saved"]): Promise<void> {
    const document = loadWorkflow(value);
    const types = [...document.graphs.values()].flatMap((graph) => [...graph.nodes.byId.values()].map(typeOf));
    await this.files.load(this.store.getState().catalog, types);
    this.store.setState({ open: new OpenDocument(document, this.environment.nowMs), saved, notice: null });
  }

  /** Save under its own name, or under `name`; a document somebody else has changed is never replaced. */
  save(name: string): Promise<void> {
    return this.told(async () => {
      const { open, saved } = this.store.getState();
      const etag = saved?.name === name ? saved.etag : null;
      const point = open.savePoint;
      try {
        const next = await saveWorkflowAs(this.client, name, saveWorkflow(open.document), etag);
        open.markSaved(point);
        this.store.setState({ saved: { name, etag: next }, workflows: await listWorkflows(this.client) });
        this.say(`Saved as ${name}.`);
      } catch (error) {
        if (!isConflict(error)) throw error;
        this.say(`${name} was changed elsewhere: save under another name, or open it again.`, true);
      }
    });
  }

  /** Compile, move seeds on, queue, and follow the job to its end. */
  run(front = false): Promise<void> {
    return this.told(async () => {
      const { open, catalog } = this.store.getState();
      const { random } = this.environment;
      const prompt = compileWorkflow(open.document, { catalog, listFiles: this.files.list, random, now: new Date() });
      const workflow = saveWorkflow(open.document);
      const { job } = await submitPrompt(this.client, prompt, workflow, { front, id: crypto.randomUUID() });
      open.edit("Next seeds", (edit) => advanceSeeds(edit, this.contextOf(open.document), random), { merge: "seeds" });
      const run: RunState = {
        job: job.id, document: open, state: "waiting", node: null, progress: null, message: "", pictures: [],
      };
      this.store.setState({ run, notice: null });
      await this.follow(job.id);
    });
  }

  private async follow(job: string): Promise<void> {
    let drawnAt = 0;
    for await (const event of followJob(this.client, job, { signal: new AbortController().signal })) {
      const { run } = this.store.getState();
      if (run?.job !== job) return;
      const now = this.environment.nowMs();
      if (event.kind === "node_progress" && now - drawnAt < PROGRESS_EVERY_MS) continue;
      drawnAt = now;
      this.store.setState({ run: afterEvent(run, event) });
    }
  }

  say(text: string, isError = false): void {
    this.store.setState({ notice: { text, isError } });
  }

  /** Do something and tell people when it fails. */
  private async told(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const hint = isObject(error) && typeof error.hint === "string" ? ` ${error.hint}` : "";
      this.say(error instanceof Error ? `${error.message}${hint}` : String(error), true);
    }
  }
}

function afterEvent(run: RunState, event: JobEvent): RunState {
  const { kind, data } = event;
  const node = typeof data.display === "string" ? data.display : typeof data.node === "string" ? data.node : null;
  switch (kind) {
    case "job_started":
      return { ...run, state: "running" };
    case "node_started":
      return { ...run, state: "running", node, progress: null };
    case "node_progress": {
      const [value, max] = [Number(data.value), Number(data.max)];
      return { ...run, node, progress: max > 0 ? value / max : null };
    }
    case "outputs_placed": {
      const files = Array.isArray(data.files) ? data.files.filter(isObject) : [];
      const urls = files.flatMap((file) => (typeof file.asset === "string" ? [file.asset] : []));
      return { ...run, pictures: [...run.pictures, ...urls] };
    }
    case "job_succeeded":
      return { ...run, state: "ended", node: null, progress: null, message: "Done" };
    case "job_failed": case "job_cancelled": case "job_quarantined": {
      const error = isObject(data.error) ? data.error : {};
      const message = typeof error.message === "string" ? error.message : kind.slice("job_".length);
      return { ...run, state: "ended", node: null, progress: null, message };
    }
    default:
      return run;
  }
}
