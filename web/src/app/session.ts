/** What is open and what runs. Holds the documents; React only shows `useStore` of it, the canvas reads it directly. */

import { createStore, type StoreApi } from "zustand/vanilla";
import { DEFAULT_KEYMAP, type Keymap } from "../interaction/keymap";
import { Catalog } from "../model/catalog";
import { compileWorkflow, type Prompt } from "../model/compile/compile";
import type { GridRun } from "../model/grid";
import type { Json } from "../model/json";
import { typeOf } from "../model/node_reading";
import { OpenDocument } from "../model/open_document";
import { partOf, type Part } from "../model/part_run";
import type { NodeId, WorkflowDocument } from "../model/records";
import { advanceSeeds } from "../model/seeds";
import type { WidgetContext } from "../model/widgets";
import { emptyWorkflow, loadWorkflow, saveWorkflow } from "../model/workflow_file";
import type { Workflow } from "../server/api_types";
import { ServerError, Unreachable, type Client } from "../server/client";
import { samePoint } from "../geometry/shapes";
import type { Foreseen } from "./foreseen";
import type { Comparison } from "./comparison";
import { sayNow } from "../i18n/catalogue";
import { faultText } from "./fault_text";
import type { GraphDesk } from "./graph_desk";
import { newId } from "./new_id";
import { problemsOf, type Problem } from "./problems";
import type { CurveRequest, MaskRequest, MenuRequest, SearchRequest } from "./requests";
import { RunBoard } from "./run_board";
import { afterEvent, newRun, type RunState } from "./run_state";
import { isAtAField, showPath } from "./showing";
import { isBlank, nameOfTab, type Saved, type Tab, type Unreadable } from "./tab";
import { followJob } from "../server/job_events";
import {
  FileNames, isConflict, listWorkflows, loadCatalog, readWorkflow, saveWorkflowAs, submitPrompt,
} from "../server/workflows";

export interface SessionState {
  readonly tabs: readonly Tab[];
  /** The id of the tab that is shown; `open` and `saved` are its own. */
  readonly active: string;
  readonly open: OpenDocument;
  readonly saved: Saved | null;
  /** What the server or a node found wrong, newest run of each document. */
  readonly problems: readonly Problem[];
  readonly connection: "there" | "away" | "locked";
  /** Whether tabs of before may still come back: what is empty now may not stay so. */
  readonly isRestoring: boolean;
  /** A save that would have replaced what somebody else has saved. */
  readonly conflict: { readonly name: string; readonly etag: string } | null;
  /** A file of this session that another window of the browser has open too. */
  readonly elsewhere: string | null;
  readonly catalog: Catalog;
  readonly workflows: readonly Workflow[];
  readonly run: RunState | null;
  /** Of what is run next: higher runs first. */
  readonly priority: number;
  /** What the open workflow would do now, while people ask for it. */
  readonly forecast: Foreseen | null;
  readonly notice: { readonly text: string; readonly isError: boolean } | null;
}

export interface SessionEnvironment {
  readonly nowMs: () => number;
  readonly random: () => number;
}

/** How far apart what comes often is taken, and how much of it a second. Pictures come four times a second, not quite evenly. */
const RATES: ReadonlyMap<string, { readonly everyMs: number; readonly perSecond: number }> = new Map([
  ["node_progress", { everyMs: 100, perSecond: 10 }], ["node_preview", { everyMs: 200, perSecond: 4 }],
]);

export class Session {
  readonly store: StoreApi<SessionState>;
  readonly files: FileNames;
  /** Opens the search for nodes; null while no page shows one. */
  openSearch: ((request: SearchRequest) => void) | null = null;
  /** Opens the menu of a node, link, group or the void; null while no page shows one. */
  openMenu: ((request: MenuRequest) => void) | null = null;
  /** Asks for a name and saves: set by the page, for documents that have none. */
  askName: () => void = () => undefined;
  openPalette: () => void = () => undefined;
  /** Shows the workflow as a form, or as its graph: set by the page. */
  showForm: (isForm: boolean) => void = () => undefined;
  /** Shows pictures of the server large, from the one at `at`; null while no page does. */
  openPictures: ((assets: readonly string[], at: number) => void) | null = null;
  /** Opens the painting of a mask; null while no page offers that. */
  openMask: ((request: MaskRequest) => void) | null = null;
  /** Opens the cutting of a part out of a picture; null while no page offers that. */
  openCrop: ((request: MaskRequest) => void) | null = null;
  /** Shows noise levels as a curve; null while no page does. */
  openCurve: ((request: CurveRequest) => void) | null = null;
  /** Shows the unfinished picture of a node large, as it changes; null while no page does. */
  openPreview: ((document: OpenDocument, node: NodeId) => void) | null = null;
  /** What runs showed about the nodes of each document. */
  readonly board = new RunBoard();
  /** The version a document is compared with; null for none. */
  readonly comparison: StoreApi<Comparison | null> = createStore<Comparison | null>(() => null);
  /** The grid of pictures that runs, or ran last. */
  readonly grid: StoreApi<GridRun | null> = createStore<GridRun | null>(() => null);
  /** Which keys do what: the defaults, or what people chose. */
  keymap: Keymap = DEFAULT_KEYMAP;
  /** Set by the canvas while it is mounted. */
  desk: GraphDesk | null = null;
  readonly client: Client;
  private readonly environment: SessionEnvironment;
  private starting: Promise<void> | null = null;

  constructor(client: Client, environment: SessionEnvironment) {
    this.client = client;
    this.environment = environment;
    this.files = new FileNames(client);
    const tab = this.blankTab();
    this.store = createStore<SessionState>(() => ({
      tabs: [tab], active: tab.id, open: tab.open, saved: null, problems: [], connection: "there", conflict: null,
      elsewhere: null, isRestoring: false,
      catalog: new Catalog({}), workflows: [], run: null, priority: 0, forecast: null,
      notice: null,
    }));
  }

  get random(): () => number {
    return this.environment.random;
  }

  /** What reading a document's widgets needs. */
  contextOf(document: WorkflowDocument): WidgetContext {
    return { document, catalog: this.store.getState().catalog, listFiles: this.files.list };
  }

  /** Load the catalog and, when one is named, a workflow; one at a time, so that a slow server is not asked twice. */
  async start(workflow: string | null): Promise<void> {
    const before = this.starting;
    if (before !== null) return workflow === null ? before : before.then(() => this.start(workflow));
    this.starting = this.told(async () => {
      const [catalog, workflows] = await Promise.all([loadCatalog(this.client), listWorkflows(this.client)]);
      // What is open already was opened without node types, and could not ask for their files.
      await Promise.all(this.store.getState().tabs.map((tab) => this.loadFiles(tab.open.document, catalog).catch(() => undefined)));
      this.store.setState({ catalog, workflows });
      if (workflow !== null) await this.openSaved(workflow);
    }).finally(() => (this.starting = null));
    return this.starting;
  }

  /** Returns whether it is shown now. */
  async openSaved(name: string): Promise<boolean> {
    const there = this.store.getState().tabs.find((tab) => tab.saved?.name === name);
    if (there !== undefined) this.switchTo(there.id);
    else await this.told(async () => {
      const { document, etag } = await readWorkflow(this.client, name);
      await this.show(document, { name, etag }, name);
    });
    return this.store.getState().saved?.name === name;
  }

  /** Open a parsed file in a tab of its own. */
  openValue(value: Json, title = ""): Promise<void> {
    return this.told(() => this.show(value, null, title));
  }

  private async show(value: Json, saved: Saved | null, title: string): Promise<void> {
    const document = loadWorkflow(value);
    await this.loadFiles(document);
    const { tabs, active } = this.store.getState();
    const tab: Tab = { id: newId(), open: new OpenDocument(document, this.environment.nowMs), saved, title, unreadable: null };
    // An empty tab nobody has touched gives its place.
    const kept = tabs.filter((item) => item.id !== active || !isBlank(item));
    this.store.setState({ tabs: [...kept, tab], notice: null });
    this.switchTo(tab.id);
  }

  /** Ask for the files the document's nodes choose from. */
  loadFiles(document: WorkflowDocument, catalog = this.store.getState().catalog): Promise<void> {
    const types = [...document.graphs.values()].flatMap((graph) => [...graph.nodes.byId.values()].map(typeOf));
    return this.files.load(catalog, types);
  }

  // -------------------------------------------------------------- tabs

  newTab(): void {
    const tab = this.blankTab();
    this.store.setState({ tabs: [...this.store.getState().tabs, tab] });
    this.switchTo(tab.id);
  }

  /** Put tabs back as they were before the page was closed, before what is open already. `active` is shown, unless somebody works at something by now. */
  async restoreTabs(tabs: readonly Tab[], active: string | null): Promise<void> {
    if (tabs.length === 0) return;
    await Promise.all(tabs.map((tab) => this.loadFiles(tab.open.document).catch(() => undefined)));
    const all = [...tabs, ...this.store.getState().tabs.filter((tab) => !isBlank(tab))];
    this.store.setState({ tabs: all });
    const wanted = [this.store.getState().active, active].find((id) => all.some((tab) => tab.id === id));
    this.switchTo(wanted ?? (tabs[0] as Tab).id);
  }

  /** A tab of a parsed file, not shown yet. Raises WorkflowFileError. */
  makeTab(value: Json, facts: Pick<Tab, "id" | "saved" | "title">): Tab {
    return { ...facts, open: new OpenDocument(loadWorkflow(value), this.environment.nowMs), unreadable: null };
  }

  /** A tab that shows a text in place of a workflow. It has no name on the server, so that nothing is saved over it. */
  makeUnreadableTab(id: string, title: string, unreadable: Unreadable): Tab {
    return { ...this.blankTab(), id, title, unreadable };
  }

  switchTo(id: string): void {
    const tab = this.store.getState().tabs.find((item) => item.id === id);
    if (tab !== undefined) this.store.setState({ active: id, open: tab.open, saved: tab.saved });
  }

  closeTab(id: string): void {
    const { tabs, active } = this.store.getState();
    const at = tabs.findIndex((tab) => tab.id === id);
    if (at < 0) return;
    const left = tabs.length === 1 ? [this.blankTab()] : tabs.toSpliced(at, 1);
    this.store.setState({ tabs: left });
    if (id === active) this.switchTo((left[Math.min(at, left.length - 1)] as Tab).id);
  }

  private blankTab(): Tab {
    return { id: newId(), open: new OpenDocument(emptyWorkflow(), this.environment.nowMs), saved: null, title: "", unreadable: null };
  }

  private setSaved(open: OpenDocument, saved: Saved): void {
    const tabs = this.store.getState().tabs.map((tab) => (tab.open === open ? { ...tab, saved } : tab));
    this.store.setState({ tabs, ...(this.store.getState().open === open ? { saved } : {}) });
  }

  // -------------------------------------------------------------- saving

  /** Save under its own name, or under `name`; a document somebody else has changed is never replaced. */
  save(name: string): Promise<void> {
    const { saved } = this.store.getState();
    return this.saveOver(name, saved?.name === name ? saved.etag : null);
  }

  /** Replace what is stored under an ETag: after a conflict, when people want that. */
  saveOver(name: string, etag: string | null): Promise<void> {
    return this.told(async () => {
      const { open, tabs } = this.store.getState();
      if (tabs.some((tab) => tab.open === open && tab.unreadable !== null)) return this.say(sayNow()("unreadable.text"), true);
      const point = open.savePoint;
      try {
        const next = await saveWorkflowAs(this.client, name, saveWorkflow(open.document), etag);
        open.markSaved(point);
        this.setSaved(open, { name, etag: next });
        this.store.setState({ workflows: await listWorkflows(this.client), conflict: null });
      } catch (error) {
        if (!isConflict(error)) throw error;
        const stored = error instanceof ServerError ? error.details.etag : undefined;
        this.store.setState({ conflict: { name, etag: typeof stored === "string" ? `"${stored}"` : "" } });
      }
    });
  }

  // -------------------------------------------------------------- running

  /** Compile, move seeds on, queue, and follow the job to its end. Returns whether it was queued. */
  async run(front = false, part: Part | null = null): Promise<boolean> {
    let isQueued = false;
    await this.told(async () => {
      const { open, catalog, tabs, priority } = this.store.getState();
      const { random } = this.environment;
      const name = nameOfTab(tabs.find((tab) => tab.open === open));
      const whole = this.promptOf(open);
      const found = part === null ? { prompt: whole, targets: null } : partOf(whole, part, catalog);
      if (found === null) return this.say(sayNow()("run.noPart"), true);
      const { prompt, targets } = found;
      const workflow = saveWorkflow(open.document);
      this.store.setState({ problems: this.store.getState().problems.filter((item) => item.document !== open) });
      const { job, complaints } = await submitPrompt(this.client, prompt, workflow, { front, priority, targets, name, id: newId() })
        .catch((error: unknown) => this.refused(open, error));
      isQueued = true;
      this.addProblems(problemsOf(open, complaints));
      this.board.submitted(open, prompt, job.id);
      open.edit("Next seeds", (edit) => advanceSeeds(edit, this.contextOf(open.document), random), { merge: "seeds" });
      const run = newRun(job.id, open, name);
      const now = this.store.getState().run;
      if (now === null || now.state === "ended") this.store.setState({ run, notice: null });
      void this.told(() => this.follow(run));
    });
    return isQueued;
  }

  /** Shows again what the newest job of a document has made, from before the page came back, and follows it while it runs. */
  async recall(open: OpenDocument, id: string): Promise<void> {
    const job = await this.client.call("GET /jobs/{job}", { path: { job: id } }).catch(() => null);
    // It was forgotten, or something newer was queued meanwhile.
    if (job === null || this.board.jobOf(open) !== null) return;
    this.board.submitted(open, job.prompt ?? {}, id);
    const run = newRun(id, open, nameOfTab(this.store.getState().tabs.find((tab) => tab.open === open)));
    const isOver = job.finished_s !== null;
    if (!isOver && this.store.getState().run === null) this.store.setState({ run });
    void this.told(() => this.follow(run, isOver));
  }

  /** What would be queued now. */
  promptOf(open: OpenDocument): Prompt {
    const { catalog } = this.store.getState();
    const { random } = this.environment;
    return compileWorkflow(open.document, { catalog, listFiles: this.files.list, random, now: new Date() });
  }

  private refused(open: OpenDocument, error: unknown): never {
    const found = error instanceof ServerError ? problemsOf(open, error.details.complaints) : [];
    this.addProblems(found);
    this.leadTo(open, found);
    throw error;
  }

  /** Goes to the first node that is wrong, while its document is shown. */
  private leadTo(open: OpenDocument, found: readonly Problem[]): void {
    const first = found.find((item) => item.node !== null)?.node ?? null;
    if (first !== null && this.desk !== null && this.store.getState().open === open) showPath(this, first.split(":"));
  }

  private addProblems(found: readonly Problem[]): void {
    if (found.length > 0) this.store.setState({ problems: [...this.store.getState().problems, ...found] });
  }

  /** Every job is followed to its end; the one that runs, or ran last, is `run` of the store. One that is over is only shown. */
  private async follow(first: RunState, isOver = false): Promise<void> {
    let own = first;
    // Who has moved the picture or changed the workflow since is not led away from there by a failure.
    const [workflow, place] = [own.document.document, this.desk?.middle()];
    const isWhereItWas = () => own.document.document === workflow && samePoint(this.desk?.middle(), place) && !isAtAField();
    const takenAt = new Map<string, readonly number[]>();
    const onConnection = (isThere: boolean) => this.store.setState({ connection: isThere ? "there" : "away" });
    const options = { signal: new AbortController().signal, onConnection };
    for await (const event of followJob(this.client, own.job, options)) {
      const now = this.environment.nowMs();
      // Nobody looks: the picture is not fetched, so that an open page never slows the job.
      if (event.kind === "node_preview" && typeof document !== "undefined" && document.hidden) continue;
      const rate = RATES.get(event.kind);
      if (rate !== undefined) {
        const lately = (takenAt.get(event.kind) ?? []).filter((at) => now - at < 1000);
        if (lately.length >= rate.perSecond || now - (lately.at(-1) ?? -Infinity) < rate.everyMs) continue;
        takenAt.set(event.kind, [...lately, now]);
      }
      this.board.take(own.document, event);
      own = afterEvent(own, event);
      if (event.kind === "job_failed") {
        const found = problemsOf(own.document, [event.data.error]);
        this.addProblems(found);
        if (!isOver && isWhereItWas()) this.leadTo(own.document, found);
      }
      if (isOver) continue;
      const { run } = this.store.getState();
      const isShown = run === null || run.job === own.job || (run.state !== "running" && own.state === "running");
      if (isShown) this.store.setState({ run: own });
    }
    // A job that was forgotten meanwhile has no reasons any more.
    const why = await this.client.call("GET /jobs/{job}/why", { path: { job: own.job } }).catch(() => null);
    if (why !== null) this.board.explained(own.document, why.reasons);
  }

  say(text: string, isError = false): void {
    this.store.setState({ notice: { text, isError } });
  }

  /** Says what went wrong. */
  tell(error: unknown): void {
    this.say(faultText(error), true);
  }

  /** Do something and tell people when it fails. */
  private async told(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof Unreachable) this.store.setState({ connection: "away" });
      if (error instanceof ServerError && error.status === 401) this.store.setState({ connection: "locked" });
      this.tell(error);
    }
  }
}
