/** Another state of an open document that it is compared with, and what differs; worked out once for each edit. */

import { diffOf, type NodeChange } from "../model/diff";
import type { OpenDocument } from "../model/open_document";
import type { WorkflowDocument } from "../model/records";
import type { WidgetContext } from "../model/widgets";

export class Comparison {
  readonly open: OpenDocument;
  readonly before: WorkflowDocument;
  /** What people know the other state by. */
  readonly name: string;
  private last: { readonly document: WorkflowDocument; readonly changes: readonly NodeChange[] } | null = null;

  constructor(open: OpenDocument, before: WorkflowDocument, name: string) {
    this.open = open;
    this.before = before;
    this.name = name;
  }

  /** From the other state to the document as it is. */
  changes(context: WidgetContext): readonly NodeChange[] {
    const { document } = this.open;
    if (this.last?.document !== document) this.last = { document, changes: diffOf(this.before, document, context) };
    return this.last.changes;
  }
}
