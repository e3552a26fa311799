/**
 * One open workflow: the document, its history, what is shown and selected. The only thing in the core that changes.
 * Views subscribe; every change comes with its operations, so that they touch what changed and nothing else.
 */

import { applyOps, Edit, type Op } from "./edit";
import { NO_HISTORY, redo, remember, undo, type History, type Step } from "./history";
import { ROOT, type GraphId, type GraphState, type WorkflowDocument } from "./records";
import { NO_SELECTION, pruned, type Selection } from "./selection";

/** What happened. `ops` are empty when only the selection or the shown graph changed. */
export interface DocumentEvent {
  readonly kind: "edit" | "selection" | "graph" | "saved";
  readonly ops: readonly Op[];
}
export type DocumentListener = (event: DocumentEvent) => void;

export interface EditOptions {
  /** Edits with one key within a second are one step of undo. */
  readonly merge?: string;
  /** Instead of a second: a drag is one step, however long it takes. */
  readonly mergeWithinMs?: number;
}

export class OpenDocument {
  private current: WorkflowDocument;
  private log: History = NO_HISTORY;
  private savedStep: Step | undefined | "never" = undefined;
  private chosen: Selection = NO_SELECTION;
  private way: readonly GraphId[] = [ROOT];
  private readonly listeners = new Set<DocumentListener>();
  private readonly nowMs: () => number;

  /** `nowMs` decides which edits are one step. */
  constructor(document: WorkflowDocument, nowMs: () => number) {
    this.current = document;
    this.nowMs = nowMs;
  }

  get document(): WorkflowDocument {
    return this.current;
  }

  /** The graph that is shown. */
  get graph(): GraphState {
    return this.current.graphs.get(this.way.at(-1) ?? ROOT) ?? (this.current.graphs.get(ROOT) as GraphState);
  }

  /** The graphs entered, the root first: the breadcrumb. */
  get path(): readonly GraphId[] {
    return this.way;
  }

  get selection(): Selection {
    return this.chosen;
  }

  get history(): History {
    return this.log;
  }

  /** Whether there is something that was not saved. */
  get isChanged(): boolean {
    return this.log.done.at(-1) !== this.savedStep;
  }

  /** Names the state as it is now: ask before storing it, give it to `markSaved` when it is stored. */
  get savePoint(): Step | undefined {
    return this.log.done.at(-1);
  }

  /** Run commands as one step of undo; the result is that of `recipe`. Nothing happens when it changes nothing. */
  edit<T>(label: string, recipe: (edit: Edit) => T, options: EditOptions = {}): T {
    const edit = new Edit(this.current);
    const result = recipe(edit);
    if (edit.ops.length > 0) {
      this.log = remember(this.log, {
        label, ops: edit.ops, merge: options.merge ?? null, atMs: this.nowMs(),
      }, options.mergeWithinMs);
      this.take(edit.document(), edit.ops);
    }
    return result;
  }

  /** Take the last step back; false when there is none. */
  undo(): boolean {
    return this.walk(undo(this.log));
  }

  redo(): boolean {
    return this.walk(redo(this.log));
  }

  select(selection: Selection): void {
    this.chosen = pruned(selection, this.graph);
    this.tell({ kind: "selection", ops: [] });
  }

  /** Show the inside of a definition; false when the document has none of that id. */
  enter(graph: GraphId): boolean {
    if (!this.current.graphs.has(graph)) return false;
    this.show([...this.way, graph]);
    return true;
  }

  /** Go back to the graph at `depth` of the path: 0 is the root. */
  leaveTo(depth: number): void {
    this.show(this.way.slice(0, Math.max(1, depth + 1)));
  }

  /** What was opened has not been stored as it is: a draft that was brought back. */
  markChanged(): void {
    this.savedStep = "never";
    this.tell({ kind: "saved", ops: [] });
  }

  /** The document as it was at `point` has been stored. */
  markSaved(point: Step | undefined): void {
    this.savedStep = point;
    this.tell({ kind: "saved", ops: [] });
  }

  /** Returns the function that ends the subscription. */
  subscribe(listener: DocumentListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get numListeners(): number {
    return this.listeners.size;
  }

  private walk(step: ReturnType<typeof undo>): boolean {
    if (step === null) return false;
    this.log = step.history;
    this.take(applyOps(this.current, step.ops), step.ops);
    return true;
  }

  private take(document: WorkflowDocument, ops: readonly Op[]): void {
    this.current = document;
    const lost = this.way.findIndex((id) => !document.graphs.has(id));
    if (lost > 0) this.way = this.way.slice(0, lost);
    this.chosen = pruned(this.chosen, this.graph);
    this.tell({ kind: "edit", ops });
  }

  private show(way: readonly GraphId[]): void {
    this.way = way;
    this.chosen = NO_SELECTION;
    this.tell({ kind: "graph", ops: [] });
  }

  private tell(event: DocumentEvent): void {
    for (const listener of Array.from(this.listeners)) listener(event);
  }
}
