/**
 * The canvas of one session: scene, viewport, gestures, and what is drawn where. It draws when something has changed, at
 * most once a frame, and does nothing at all in between.
 */

import { paintChanges } from "../canvas/change_painter";
import { isTyping, listen, modifiersOf } from "../canvas/input";
import { nextMounts } from "../canvas/mounting";
import { paintOverlay } from "../canvas/overlay";
import { paint } from "../canvas/painter";
import { readTheme, watchTheme, type Theme } from "../canvas/theme";
import { Thumbnails } from "../canvas/thumbnails";
import { changesMap } from "../geometry/minimap";
import { Scene } from "../geometry/scene";
import { grown, overlaps } from "../geometry/shapes";
import { firstView, fitted, toWorld, visibleRect, type Viewport } from "../geometry/viewport";
import type { PointerInput } from "../interaction/events";
import { IDLE, type GestureState } from "../interaction/gesture_state";
import { reduce } from "../interaction/gestures";
import { commandFor } from "../interaction/keymap";
import { worldOf } from "../interaction/world";
import { idText } from "../model/json";
import type { DocumentEvent, OpenDocument } from "../model/open_document";
import { ROOT, type NodeId } from "../model/records";
import type { RunFacts } from "../model/run_facts";
import { isEmptySelection, selectionOf } from "../model/selection";
import { NodeLayer } from "../nodes/node_layer";
import { urlOf } from "../server/client";
import { sayNow, watchLanguage } from "../i18n/catalogue";
import { badgeWords } from "./badge_words";
import { BodyDesk } from "./body_desk";
import { promptPlace } from "./prompt_place";
import { perform, type Desk } from "./commands";
import { foreseenText } from "./foreseen";
import { GestureEffects } from "./gesture_effects";
import { MAP_SIZE, MapView, type Mapped } from "./map_view";
import { preferences } from "../settings/preferences";
import type { Session } from "./session";
import { Stage, type Part } from "./stage";

const WHEEL_REST_MS = 140;
/** Shadows and sockets reach over the edge of a node. */
const SHOWN_AROUND_PX = 24;
const THUMBNAIL_PX = 256;
/** Gestures that draw nothing. */
const QUIET: ReadonlySet<string> = new Set(["idle", "pressed", "panning", "pinching"]);
const MOVING: ReadonlySet<string> = new Set(["panning", "pinching", "dragging"]);

/** Between the map and the edges of the canvas. */
const MAP_GAP_PX = 12;

export class GraphView implements Desk, Mapped {
  readonly session: Session;
  readonly scene: Scene;
  readonly bodies: NodeLayer;
  /** How often each canvas was drawn: tests count it. */
  numDraws = 0;
  numOverlayDraws = 0;
  readonly element: HTMLElement;
  private readonly stage: Stage;
  private readonly desk: BodyDesk;
  private readonly effects: GestureEffects;
  private readonly ends: (() => void)[] = [];
  private readonly thumbnails = new Thumbnails(() => this.stage.ask("base"));
  theme: Theme;
  /** The map in the corner, while it is shown. */
  map: MapView | null = null;
  private open: OpenDocument;
  private view: Viewport = { x: 0, y: 0, zoom: 1 };
  /** Nobody has moved the picture since it was fitted: it follows the size of the canvas. */
  private isFirstView = false;
  private gestures: GestureState = IDLE;
  private rest: ReturnType<typeof setTimeout> | null = null;
  private endOfDocument: () => void = () => undefined;

  constructor(element: HTMLElement, session: Session) {
    this.element = element;
    this.session = session;
    this.open = session.store.getState().open;
    this.scene = new Scene(session.contextOf(this.open.document), this.open.graph.id);
    this.theme = readTheme(element);
    this.stage = new Stage(element, (parts) => this.frame(parts), (isFirst) => this.resized(isFirst));
    this.desk = new BodyDesk(session, this.scene);
    this.bodies = new NodeLayer(this.stage.layer, this.desk);
    this.effects = new GestureEffects(this, this.desk, () => this.open, () => this.relayout());
    this.attach();
    session.desk = {
      perform: (name) => perform(name, this),
      showNode: (id) => this.showNode(id),
      placeAt: (screen) => toWorld(this.view, screen),
      middle: () => toWorld(this.view, { x: this.size.width / 2, y: this.size.height / 2 }),
      showMap: (element) => this.showMap(element),
    };
    this.ends.push(listen(element, (input) => this.take(input)), ...this.listeners(), () => void (session.desk = null));
  }

  private listeners(): (() => void)[] {
    const keys = new AbortController();
    addEventListener("keydown", (event) => this.key(event), { signal: keys.signal });
    addEventListener("keyup", (event) => event.key === " " && this.take({ kind: "space", isDown: false }), keys);
    return [
      () => keys.abort(),
      watchTheme(() => {
        this.theme = readTheme(this.element);
        this.stage.ask("base", "overlay");
        this.map?.ask();
      }),
      watchLanguage(() => this.stage.ask("overlay")),
      this.session.comparison.subscribe(() => this.stage.ask("overlay")),
      this.session.board.subscribe((document, before, after, kind) => {
        if (document === this.open) this.ran(before, after, kind);
      }),
      this.session.store.subscribe((state, before) => {
        if (state.open !== this.open) this.attach();
        else if (state.catalog !== before.catalog) {
          this.relayout();
          if (this.isFirstView) this.fit();
        }
        else if (state.forecast !== before.forecast) this.stage.ask("overlay");
        else if (state.problems !== before.problems) {
          this.desk.bumpAll();
          this.stage.ask("overlay");
          this.map?.ask();
        }
      }),
    ];
  }

  get size(): { readonly width: number; readonly height: number } {
    return this.stage.size;
  }

  get viewport(): Viewport {
    return this.view;
  }

  set viewport(view: Viewport) {
    this.isFirstView = false;
    this.view = view;
    this.stage.ask("base", "overlay");
  }

  /** Draw again in the next frame. */
  redraw(...parts: readonly Part[]): void {
    this.stage.ask(...parts);
  }

  /** Select a node of the shown graph and bring it into view. */
  showNode(id: NodeId): void {
    const bounds = this.scene.bounds([id]);
    if (bounds === null) return;
    this.open.select(selectionOf({ nodes: [id] }));
    this.viewport = fitted(bounds, this.size, Math.min(this.size.width, this.size.height) / 3);
    this.element.focus();
  }

  private showMap(element: HTMLElement): () => void {
    const map = new MapView(element, this);
    this.map = map;
    if (this.isFirstView) this.fit();
    return () => {
      map.close();
      if (this.map === map) this.map = null;
    };
  }

  /** Moves the picture as the map wants it: as people move it. */
  readonly look = (viewport: Viewport): void => {
    this.viewport = viewport;
    this.restLater();
  };

  readonly faulty = (): ReadonlySet<NodeId> => this.desk.faulty();

  /** Nodes of the shown graph that are at work, or hold one that is. */
  readonly running = (): ReadonlySet<NodeId> => {
    const { nodes } = this.session.board.of(this.open);
    const paths = [...nodes].filter(([, run]) => run.state === "running").map(([path]) => path.split(":"));
    return new Set(paths.map((path) => (this.open.graph.id === ROOT ? path[0] : path.at(-1)) as NodeId));
  };

  /** Ends every subscription and listener. */
  close(): void {
    this.map?.close();
    this.endOfDocument();
    for (const end of this.ends.splice(0)) end();
    if (this.rest !== null) clearTimeout(this.rest);
    this.bodies.close();
    this.stage.close();
  }

  // -------------------------------------------------------------- following the document

  private attach(): void {
    this.endOfDocument();
    this.open = this.session.store.getState().open;
    this.endOfDocument = this.open.subscribe((event) => this.changed(event));
    this.gestures = IDLE;
    this.bodies.show(new Set());
    this.relayout();
    this.fit();
  }

  private changed(event: DocumentEvent): void {
    if (event.kind === "graph") {
      this.bodies.show(new Set());
      this.relayout();
      this.fit();
    } else if (event.kind === "edit") this.follow(event);
    else if (event.kind === "selection") this.stage.ask("overlay");
  }

  private follow(event: DocumentEvent): void {
    const context = this.session.contextOf(this.open.document);
    // Undo may have taken away the graph that was shown.
    if (this.open.graph.id !== this.scene.graph?.id) return this.relayout();
    const changed = this.scene.follow(context, event.ops);
    this.desk.bump(changed);
    if (event.ops.some((op) => op.on === "nodes" && (op.before === undefined || op.after === undefined))) this.desk.placeAll();
    this.stage.ask("base", "overlay");
    if (event.ops.some(changesMap)) this.map?.ask();
  }

  private relayout(): void {
    this.scene.show(this.session.contextOf(this.open.document), this.open.graph.id);
    this.desk.bumpAll();
    this.stage.ask("base", "overlay");
    this.map?.ask();
  }

  /** Pixels at the lower edge that the map lies over. */
  get corner(): number {
    return this.map === null ? 0 : MAP_SIZE.height + 2 * MAP_GAP_PX;
  }

  readonly fit = (): void => {
    const bounds = this.scene.bounds();
    if (bounds === null || this.size.width === 0) return;
    this.viewport = firstView(bounds, this.size, promptPlace(this.scene), this.corner);
    this.isFirstView = true;
  };

  /** Progress is drawn on its own layer, and only when its node is seen. */
  private ran(before: RunFacts, after: RunFacts, kind: string): void {
    const changed = [...new Set([...before.nodes.keys(), ...after.nodes.keys()])].filter(
      (path) => before.nodes.get(path) !== after.nodes.get(path));
    const ids = changed.map((path) => idText(path.split(":", 1)[0]) as NodeId);
    const all = new Set([...ids, ...changed.map((path) => path.split(":").at(-1) as NodeId)]);
    if (kind === "node_preview") this.desk.bumpPreviews([...all].filter((id) => this.isSeen(id)));
    else if (kind !== "node_progress") {
      this.desk.bump(all);
      this.stage.ask("overlay");
      if (changed.some((path) => before.nodes.get(path)?.state !== after.nodes.get(path)?.state)) this.map?.ask();
      if (changed.some((path) => before.nodes.get(path)?.pictures !== after.nodes.get(path)?.pictures)) this.stage.ask("base");
    } else if (ids.some((id) => this.isSeen(id))) this.stage.ask("overlay");
  }

  private isSeen(id: NodeId): boolean {
    return !document.hidden && this.scene.node(id) !== undefined && overlaps(this.scene.outer(id), visibleRect(this.view, this.size));
  }

  // -------------------------------------------------------------- gestures

  private take(input: PointerInput): void {
    const world = worldOf(this.scene, {
      viewport: this.view, selection: this.open.selection, grid: preferences.getState().grid, snapsToGrid: preferences.getState().snapsToGrid, showsGuides: true,
    });
    const before = this.gestures;
    const answer = reduce(before, input, world);
    this.gestures = answer.state;
    for (const effect of answer.effects) this.effects.apply(effect);
    if (answer.state.gesture !== before.gesture) {
      if (answer.state.gesture.is === "idle") this.effects.ended();
      this.stage.ask("overlay");
    }
    if (input.kind === "wheel") this.restLater();
  }

  /** The wheel says when it turns, not when it has ended. */
  private restLater(): void {
    if (this.rest !== null) clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      this.rest = null;
      this.stage.ask("base");
    }, WHEEL_REST_MS);
  }

  private get isMoving(): boolean {
    return this.rest !== null || MOVING.has(this.gestures.gesture.is);
  }

  private key(event: KeyboardEvent): void {
    const onControl = event.target instanceof Element && event.target.closest("button, a, [role=dialog]") !== null;
    if (event.key === " " && !isTyping(event) && !onControl) return this.take({ kind: "space", isDown: true });
    if (event.key === "Escape" && this.gestures.gesture.is !== "idle") return this.take({ kind: "escape" });
    const input = { key: event.key.toLowerCase(), modifiers: modifiersOf(event), isTyping: isTyping(event) };
    const name = commandFor(input, this.session.keymap);
    if (name === null) return undefined;
    event.preventDefault();
    return perform(name, this);
  }

  // -------------------------------------------------------------- drawing

  private resized(isFirst: boolean): void {
    // A field that has the keyboard stays where it is when a phone shows its keys.
    if (isFirst || (this.isFirstView && !this.stage.layer.contains(document.activeElement))) this.fit();
    this.stage.ask("base", "overlay");
  }

  private frame(asked: ReadonlySet<Part>): void {
    const { scene, size, view, isMoving } = this;
    this.stage.moveLayer(view, isMoving);
    this.map?.follow();
    const plan = nextMounts(scene, this.bodies.mounted, {
      viewport: view, size, isMoving, isHeld: (id) => this.desk.isHeld(id),
    });
    const hasChanged = plan.mounted !== this.bodies.mounted;
    this.bodies.show(plan.mounted);
    this.desk.showIn(grown(visibleRect(view, size), SHOWN_AROUND_PX / view.zoom));
    if (plan.hasMore) this.stage.ask();
    if (asked.has("base") || hasChanged) this.paintBase();
    if (asked.has("overlay")) this.paintOverlay();
  }

  private paintBase(): void {
    this.numDraws += 1;
    paint(this.stage.base, {
      scene: this.scene, context: this.session.contextOf(this.open.document), viewport: this.view, size: this.size,
      pixelRatio: devicePixelRatio, mounted: this.bodies.mounted,
      hasGrid: true, newPath: () => new Path2D(), imageOf: (id) => this.imageOf(id),
    }, this.theme);
  }

  private imageOf(id: NodeId): HTMLImageElement | null {
    const asset = this.desk.runOf(id)?.pictures.at(-1);
    return asset === undefined ? null : this.thumbnails.get(urlOf("/assets/{asset}/thumbnail", { asset }, { size: THUMBNAIL_PX }));
  }

  /** An empty layer is taken out: blending it over the page would cost more than drawing it. */
  private paintOverlay(): void {
    const { gesture } = this.gestures;
    const facts = this.session.board.of(this.open);
    const faulty = this.desk.faulty();
    const { forecast } = this.session.store.getState();
    const isForeseen = forecast?.document === this.open;
    const isRoot = this.open.graph.id === ROOT;
    const comparison = this.session.comparison.getState();
    const isCompared = comparison !== null && comparison.open === this.open;
    const isEmpty = !isCompared && isEmptySelection(this.open.selection) && QUIET.has(gesture.is) && !isForeseen
      && facts.nodes.size + faulty.size === 0;
    if (!this.stage.showOverlay(!isEmpty)) return;
    this.numOverlayDraws += 1;
    const words = badgeWords(sayNow());
    paintOverlay(this.stage.overlay, {
      scene: this.scene, viewport: this.view, size: this.size, pixelRatio: devicePixelRatio,
      selection: this.open.selection, gesture: this.gestures.gesture, guides: this.effects.guides,
      insertion: this.effects.insertion, runOf: this.desk.runOf, faulty,
      foreseen: isForeseen ? (id) => foreseenText(forecast, id, isRoot, words) : null,
      words,
    }, this.theme);
    if (!isCompared) return;
    const changes = comparison.changes(this.session.contextOf(this.open.document)).filter((change) => change.graph === this.open.graph.id);
    paintChanges(this.stage.overlay, this.scene, changes, this.view.zoom, this.theme);
  }
}
