/**
 * A transaction on a document. An `Edit` reads like the document it makes and writes down every change as an `Op`
 * with what was there before, so that every change has an inverse. Nothing outside this file makes new tables.
 */

import { sameJson, type Json, type JsonObject } from "./json";
import type {
  GraphId, GraphState, RecordOf, Table, TableName, WorkflowDocument,
} from "./records";

/** One record put, replaced or taken away; `at` is its place in the order. */
export type RecordOp = {
  [K in TableName]: {
    readonly on: K;
    readonly graph: GraphId;
    readonly id: string;
    readonly before: RecordOf[K] | undefined;
    readonly after: RecordOf[K] | undefined;
    readonly at: number;
  };
}[TableName];

export type Op =
  | RecordOp
  | {
      readonly on: "rest";
      readonly graph: GraphId;
      readonly key: string;
      readonly before: Json | undefined;
      readonly after: Json | undefined;
    }
  | {
      readonly on: "graph";
      readonly graph: GraphId;
      readonly before: GraphState | undefined;
      readonly after: GraphState | undefined;
    };

export function inverseOf(ops: readonly Op[]): Op[] {
  return ops.map((op) => ({ ...op, before: op.after, after: op.before }) as Op).reverse();
}

/** The document after the operations. */
export function applyOps(document: WorkflowDocument, ops: readonly Op[]): WorkflowDocument {
  const edit = new Edit(document);
  for (const op of ops) edit.replay(op);
  return edit.document();
}

class TableDraft<T> {
  ids: readonly string[];
  readonly byId: Map<string, T>;

  constructor(table: Table<T>) {
    this.ids = table.ids;
    this.byId = new Map(table.byId);
  }

  put(id: string, record: T | undefined, at: number): void {
    if (record === undefined) {
      this.byId.delete(id);
      const place = this.ids[at] === id ? at : this.ids.indexOf(id);
      this.ids = this.ids.toSpliced(place, 1);
    } else {
      if (!this.byId.has(id)) this.ids = this.ids.toSpliced(at, 0, id);
      this.byId.set(id, record);
    }
  }
}

interface GraphDraft {
  base: GraphState;
  tables: { [K in TableName]?: TableDraft<RecordOf[K]> };
  rest: JsonObject | null;
}

export class Edit {
  readonly ops: Op[] = [];
  private readonly start: WorkflowDocument;
  private readonly graphs: Map<GraphId, GraphState>;
  private readonly drafts = new Map<GraphId, GraphDraft>();

  constructor(document: WorkflowDocument) {
    this.start = document;
    this.graphs = new Map(document.graphs);
  }

  /** The document as it is after the changes so far. */
  document(): WorkflowDocument {
    if (this.ops.length === 0 && this.drafts.size === 0) return this.start;
    for (const id of this.drafts.keys()) this.settle(id);
    return { version: this.start.version, graphs: new Map(this.graphs) };
  }

  /** A graph as it is after the changes so far. Raises Error for a graph the document does not have. */
  graph(id: GraphId): GraphState {
    this.settle(id);
    const graph = this.graphs.get(id);
    if (graph === undefined) throw new Error(`The document has no graph ${JSON.stringify(id)}.`);
    return graph;
  }

  hasGraph(id: GraphId): boolean {
    return this.graphs.has(id);
  }

  get<K extends TableName>(graph: GraphId, on: K, id: string): RecordOf[K] | undefined {
    const draft = this.drafts.get(graph)?.tables[on] as TableDraft<RecordOf[K]> | undefined;
    const table = draft ?? (this.graphs.get(graph)?.[on] as Table<RecordOf[K]> | undefined);
    return table?.byId.get(id);
  }

  /** Put a record; a new one goes to the end of the order or to `at`. */
  put<K extends TableName>(graph: GraphId, on: K, id: string, record: RecordOf[K], at?: number): void {
    const before = this.get(graph, on, id);
    if (before === record) return;
    const place = before === undefined ? (at ?? this.draftOf(graph, on).ids.length) : -1;
    this.write({ on, graph, id, before, after: record, at: place } as RecordOp);
  }

  remove(graph: GraphId, on: TableName, id: string): void {
    const before = this.get(graph, on, id);
    if (before === undefined) return;
    const at = this.draftOf(graph, on).ids.indexOf(id);
    this.write({ on, graph, id, before, after: undefined, at } as RecordOp);
  }

  /** Set a top-level key of a graph; undefined takes it away. */
  setRest(graph: GraphId, key: string, value: Json | undefined): void {
    const before = this.graph(graph).rest[key];
    if (!sameJson(before, value)) this.write({ on: "rest", graph, key, before, after: value });
  }

  addGraph(graph: GraphState): void {
    this.write({ on: "graph", graph: graph.id, before: undefined, after: graph });
  }

  removeGraph(id: GraphId): void {
    this.write({ on: "graph", graph: id, before: this.graph(id), after: undefined });
  }

  /** Do an operation that was written down before. */
  replay(op: Op): void {
    this.write(op);
  }

  private write(op: Op): void {
    this.ops.push(op);
    if (op.on === "graph") {
      this.drafts.delete(op.graph);
      if (op.after === undefined) this.graphs.delete(op.graph);
      else this.graphs.set(op.graph, op.after);
    } else if (op.on === "rest") {
      const draft = this.draft(op.graph);
      const rest: Record<string, Json | undefined> = { ...(draft.rest ?? draft.base.rest) };
      if (op.after === undefined) delete rest[op.key];
      else rest[op.key] = op.after;
      draft.rest = rest;
    } else {
      (this.draftOf(op.graph, op.on) as TableDraft<unknown>).put(op.id, op.after, op.at);
    }
  }

  private draft(graph: GraphId): GraphDraft {
    let draft = this.drafts.get(graph);
    if (draft === undefined) {
      const base = this.graphs.get(graph);
      if (base === undefined) throw new Error(`The document has no graph ${JSON.stringify(graph)}.`);
      this.drafts.set(graph, (draft = { base, tables: {}, rest: null }));
    }
    return draft;
  }

  private draftOf<K extends TableName>(graph: GraphId, on: K): TableDraft<RecordOf[K]> {
    const { base, tables } = this.draft(graph);
    return (tables[on] ??= new TableDraft(base[on] as Table<never>) as never) as TableDraft<RecordOf[K]>;
  }

  /** Turn the draft of a graph into a state. */
  private settle(id: GraphId): void {
    const draft = this.drafts.get(id);
    if (draft === undefined) return;
    const tables: Partial<Record<TableName, Table<unknown>>> = {};
    for (const [name, table] of Object.entries(draft.tables)) {
      tables[name as TableName] = { ids: table.ids, byId: table.byId as ReadonlyMap<string, unknown> };
    }
    this.graphs.set(id, { ...draft.base, ...tables, rest: draft.rest ?? draft.base.rest } as GraphState);
    this.drafts.delete(id);
  }
}
