/** The DOM bodies of nodes: one React root in a layer that the canvas moves as a whole. */

import { createRoot, type Root } from "react-dom/client";
import { flushSync } from "react-dom";
import type { NodeId } from "../model/records";
import { NodeBody } from "./node_body";
import type { NodeDesk } from "./node_desk";
import "./nodes.css";

export class NodeLayer {
  /** How many bodies were ever mounted: tests count them. */
  numMounts = 0;
  private readonly root: Root;
  private readonly desk: NodeDesk;
  private shown: ReadonlySet<NodeId> = new Set();

  constructor(element: HTMLElement, desk: NodeDesk) {
    this.root = createRoot(element);
    this.desk = desk;
  }

  get mounted(): ReadonlySet<NodeId> {
    return this.shown;
  }

  /** Mount exactly these, at once: the canvas leaves them out of its next picture. */
  show(ids: ReadonlySet<NodeId>): void {
    if (ids === this.shown) return;
    for (const id of ids) if (!this.shown.has(id)) this.numMounts += 1;
    this.shown = ids;
    flushSync(() => this.root.render([...ids].map((id) => <NodeBody key={id} id={id} desk={this.desk} />)));
  }

  close(): void {
    this.shown = new Set();
    // React does not unmount a root while it renders another one.
    queueMicrotask(() => this.root.unmount());
  }
}
