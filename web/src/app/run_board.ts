/** What runs showed about the nodes of each open document: events are put on the document they belong to. */

import { isObject, type Json, type JsonObject } from "../model/json";
import type { OpenDocument } from "../model/open_document";
import { afterEvent, explained, nextRun, NO_FACTS, type RunFacts } from "../model/run_facts";
import type { JobEvent } from "../server/job_events";

export type BoardListener = (document: OpenDocument, before: RunFacts, after: RunFacts, kind: string) => void;

export class RunBoard {
  private readonly facts = new WeakMap<OpenDocument, RunFacts>();
  private readonly submissions = new WeakMap<OpenDocument, { readonly prompt: Readonly<Record<string, unknown>>; readonly job: string }>();
  private readonly listeners = new Set<BoardListener>();

  of(document: OpenDocument): RunFacts {
    return this.facts.get(document) ?? NO_FACTS;
  }

  /** The value an input had in the last run: the seed of the picture that is shown. */
  used(document: OpenDocument, path: string, input: string): Json | undefined {
    const node = this.submissions.get(document)?.prompt[path] as { readonly inputs?: unknown } | undefined;
    return isObject(node?.inputs) ? node.inputs[input] : undefined;
  }

  /** The newest job of a document; null for none. */
  jobOf(document: OpenDocument): string | null {
    return this.submissions.get(document)?.job ?? null;
  }

  /** A prompt of the document was queued. */
  submitted(document: OpenDocument, prompt: Readonly<Record<string, unknown>>, job: string): void {
    this.submissions.set(document, { prompt, job });
    this.put(document, this.of(document), "submitted");
  }

  take(document: OpenDocument, event: JobEvent): void {
    const before = this.of(document);
    const start = event.kind === "job_started" ? nextRun(before) : before;
    const after = afterEvent(start, event.kind, event.data, event.time_s, event.job);
    if (after !== before) this.put(document, after, event.kind);
  }

  /** The server said why nodes ran. */
  explained(document: OpenDocument, reasons: JsonObject): void {
    this.put(document, explained(this.of(document), reasons), "explained");
  }

  /** Returns the function that ends the subscription. */
  subscribe(listener: BoardListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private put(document: OpenDocument, after: RunFacts, kind: string): void {
    const before = this.of(document);
    this.facts.set(document, after);
    for (const listener of Array.from(this.listeners)) listener(document, before, after, kind);
  }
}
