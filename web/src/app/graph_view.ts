/**
 * The canvas of one session: scene, viewport, gestures. No React: it draws when something has changed, at most once a
 * frame, and does nothing at all in between.
 */

import { listen, isTyping, modifiersOf } from "../canvas/input";
import { paint } from "../canvas/painter";
import { readTheme } from "../canvas/theme";
import { Scene } from "../geometry/scene";
import type { Guide } from "../geometry/snapping";
import { fitted, toWorld, type Viewport } from "../geometry/viewport";
import type { Effect } from "../interaction/effects";
import type { PointerInput } from "../interaction/events";
import { IDLE, type GestureState } from "../interaction/gesture_state";
import { reduce } from "../interaction/gestures";
import { commandFor, DEFAULT_KEYMAP } from "../interaction/keymap";
import { worldOf } from "../interaction/world";
import { setGroupRect } from "../model/group_edits";
import { addReroute, connect, moveReroute, removeLink } from "../model/link_edits";
import { bringToFront, moveNodes, resizeNode } from "../model/node_edits";
import type { DocumentEvent, OpenDocument } from "../model/open_document";
import type { NodeId } from "../model/records";
import { selectionOf } from "../model/selection";
import { definitionOf } from "../model/widgets";
import { perform, type Desk } from "./commands";
import type { Session } from "./session";

export class GraphView implements Desk {
  readonly session: Session;
  readonly scene: Scene;
  size = { width: 0, height: 0 };
  /** How often the canvas was drawn: tests count it. */
  numDraws = 0;
  private readonly element: HTMLCanvasElement;
  private readonly canvas: CanvasRenderingContext2D;
  private readonly ends: (() => void)[] = [];
  private open: OpenDocument;
  private view: Viewport = { x: 0, y: 0, zoom: 1 };
  private gestures: GestureState = IDLE;
  private guides: readonly Guide[] = [];
  private frame = 0;
  private endOfDocument: () => void = () => undefined;

  constructor(element: HTMLCanvasElement, session: Session) {
    this.element = element;
    this.session = session;
    this.canvas = element.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
    this.open = session.store.getState().open;
    this.scene = new Scene(session.contextOf(this.open.document), this.open.graph.id);
    this.attach();
    session.desk = {
      perform: (name) => perform(name, this),
      showNode: (id) => this.showNode(id),
      middle: () => toWorld(this.view, { x: this.size.width / 2, y: this.size.height / 2 }),
    };
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => this.draw();
    dark.addEventListener("change", redraw);
    const keys = new AbortController();
    addEventListener("keydown", (event) => this.key(event), { signal: keys.signal });
    addEventListener("keyup", (event) => event.key === " " && this.take({ kind: "space", isDown: false }), keys);
    this.ends.push(
      listen(element, (input) => this.take(input)),
      () => void (session.desk = null),
      () => observer.disconnect(),
      () => dark.removeEventListener("change", redraw),
      () => keys.abort(),
      session.store.subscribe((state, before) => {
        if (state.open !== this.open) this.attach();
        else if (state.catalog !== before.catalog) this.relayout();
        else if (state.run !== before.run) this.draw();
      }),
    );
  }

  /** Select a node of the shown graph and bring it into view. */
  showNode(id: NodeId): void {
    const bounds = this.scene.bounds([id]);
    if (bounds === null) return;
    this.open.select(selectionOf({ nodes: [id] }));
    this.viewport = fitted(bounds, this.size, Math.min(this.size.width, this.size.height) / 3);
    this.element.focus();
  }

  get viewport(): Viewport {
    return this.view;
  }

  set viewport(view: Viewport) {
    this.view = view;
    this.draw();
  }

  /** Ends every subscription and listener. */
  close(): void {
    this.endOfDocument();
    for (const end of this.ends.splice(0)) end();
    cancelAnimationFrame(this.frame);
  }

  // -------------------------------------------------------------- following the document

  private attach(): void {
    this.endOfDocument();
    this.open = this.session.store.getState().open;
    this.endOfDocument = this.open.subscribe((event) => this.changed(event));
    this.gestures = IDLE;
    this.relayout();
    this.fit();
  }

  private changed(event: DocumentEvent): void {
    if (event.kind === "graph") {
      this.relayout();
      this.fit();
    } else if (event.kind === "edit") {
      const context = this.session.contextOf(this.open.document);
      // Undo may have taken away the graph that was shown.
      if (this.open.graph.id !== this.scene.graph?.id) this.scene.show(context, this.open.graph.id);
      else this.scene.follow(context, event.ops);
    }
    this.draw();
  }

  private relayout(): void {
    this.scene.show(this.session.contextOf(this.open.document), this.open.graph.id);
    this.draw();
  }

  private fit(): void {
    const bounds = this.scene.bounds();
    if (bounds !== null && this.size.width > 0) this.viewport = fitted(bounds, this.size);
  }

  // -------------------------------------------------------------- gestures

  private take(input: PointerInput): void {
    const world = worldOf(this.scene, {
      viewport: this.view, selection: this.open.selection, grid: 0, showsGuides: true,
    });
    const before = this.gestures;
    const answer = reduce(before, input, world);
    this.gestures = answer.state;
    if (answer.state.gesture.is !== "dragging") this.guides = [];
    for (const effect of answer.effects) this.apply(effect);
    if (answer.state.gesture !== before.gesture) this.draw();
  }

  private apply(effect: Effect): void {
    const graph = this.open.graph.id;
    switch (effect.do) {
      case "view": return void (this.viewport = effect.viewport);
      case "select": return this.open.select(effect.selection);
      case "previewDrag":
        this.guides = effect.guides;
        return this.scene.drag(effect.places.nodes, effect.places.reroutes, effect.places.groups);
      case "commitDrag":
        return this.open.edit("Move", (edit) => {
          moveNodes(edit, graph, effect.places.nodes);
          for (const [id, at] of effect.places.reroutes) moveReroute(edit, graph, id, at);
          for (const [id, rect] of effect.places.groups) setGroupRect(edit, graph, id, rect);
        });
      case "cancelDrag": return this.relayout();
      case "previewResize": return this.scene.resize(effect.node, effect.width, effect.height);
      case "commitResize":
        return this.open.edit("Resize", (edit) => resizeNode(edit, graph, effect.node, effect.width, effect.height));
      case "connect":
        return this.open.edit("Link", (edit) => {
          if (effect.replaces !== null) removeLink(edit, graph, effect.replaces);
          connect(edit, graph, effect.from, effect.to);
        });
      case "dropLink": {
        const { replaces } = effect;
        return replaces === null ? undefined : this.open.edit("Unlink", (edit) => removeLink(edit, graph, replaces));
      }
      case "addReroute":
        return void this.open.edit("Reroute", (edit) => addReroute(edit, graph, effect.link, effect.at, effect.stretch));
      case "toFront": return this.open.edit("To front", (edit) => bringToFront(edit, graph, effect.node));
      case "open": {
        const node = effect.hit.kind === "node" ? this.open.graph.nodes.byId.get(effect.hit.id) : undefined;
        const inner = node === undefined ? null : definitionOf(this.open.document, node);
        return inner === null ? undefined : void this.open.enter(inner);
      }
      case "menu": return undefined;
    }
  }

  private key(event: KeyboardEvent): void {
    if (event.key === " " && !isTyping(event)) return this.take({ kind: "space", isDown: true });
    if (event.key === "Escape" && this.gestures.gesture.is !== "idle") return this.take({ kind: "escape" });
    const input = { key: event.key.toLowerCase(), modifiers: modifiersOf(event), isTyping: isTyping(event) };
    const name = commandFor(input, DEFAULT_KEYMAP);
    if (name === null) return undefined;
    event.preventDefault();
    return perform(name, this);
  }

  // -------------------------------------------------------------- drawing

  private resize(): void {
    const { width, height } = this.element.getBoundingClientRect();
    const isFirst = this.size.width === 0;
    this.size = { width, height };
    this.element.width = Math.round(width * devicePixelRatio);
    this.element.height = Math.round(height * devicePixelRatio);
    if (isFirst) this.fit();
    this.draw();
  }

  /** Draw in the next frame, once. */
  private draw(): void {
    if (this.frame === 0) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.paint();
      });
    }
  }

  private paint(): void {
    if (this.size.width === 0) return;
    this.numDraws += 1;
    const { run } = this.session.store.getState();
    paint(this.canvas, {
      scene: this.scene, context: this.session.contextOf(this.open.document), viewport: this.view, size: this.size,
      pixelRatio: devicePixelRatio, selection: this.open.selection, gesture: this.gestures.gesture,
      guides: this.guides, running: run?.document === this.open ? run.node : null, faulty: new Set(),
    }, readTheme(this.element));
  }
}
