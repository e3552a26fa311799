/** Does what gestures ask for: previews in the scene, one edit of the document at the end. */

import { sayNow } from "../i18n/catalogue";
import type { Scene } from "../geometry/scene";
import { overlaps } from "../geometry/shapes";
import type { Guide } from "../geometry/snapping";
import { toScreen, type Viewport } from "../geometry/viewport";
import type { DragPlaces, Effect } from "../interaction/effects";
import { setGroup, setGroupRect } from "../model/group_edits";
import { addReroute, connect, insertOnLink, moveReroute, removeLink } from "../model/link_edits";
import { bringToFront, moveNodes, resizeNode } from "../model/node_edits";
import type { OpenDocument } from "../model/open_document";
import { NOTE_TYPES, type LinkId, type NodeId } from "../model/records";
import { definitionOf } from "../model/widgets";
import type { BodyDesk } from "./body_desk";
import { askInPlace } from "./inline_editor";
import { insertionOf } from "./insertion";
import type { Session } from "./session";
import type { Part } from "./stage";

/** The view that gestures act on. */
export interface Acted {
  readonly session: Session;
  readonly scene: Scene;
  readonly element: HTMLElement;
  viewport: Viewport;
  readonly redraw: (...parts: readonly Part[]) => void;
}

export class GestureEffects {
  guides: readonly Guide[] = [];
  /** The link that the dragged node would be put on. */
  insertion: LinkId | null = null;
  private readonly view: Acted;
  private readonly bodies: BodyDesk;
  private readonly document: () => OpenDocument;
  private readonly relayout: () => void;
  /** Pressed: comes to the front with the edit of the gesture, or alone when something covers it. */
  private front: NodeId | null = null;

  constructor(view: Acted, bodies: BodyDesk, document: () => OpenDocument, relayout: () => void) {
    this.view = view;
    this.bodies = bodies;
    this.document = document;
    this.relayout = relayout;
  }

  apply(effect: Effect): void {
    const open = this.document();
    const graph = open.graph.id;
    const { scene, session } = this.view;
    switch (effect.do) {
      case "view": return void (this.view.viewport = effect.viewport);
      case "select": return open.select(effect.selection);
      case "previewDrag": return this.previewDrag(effect.places, effect.guides);
      case "commitDrag": return this.commitDrag(effect.places);
      case "cancelDrag": return this.relayout();
      case "previewResize":
        scene.resize(effect.node, effect.width, effect.height);
        this.bodies.bump([effect.node]);
        return this.view.redraw("base", "overlay");
      case "commitResize":
        return open.edit("Resize", (edit) => resizeNode(edit, graph, effect.node, effect.width, effect.height));
      case "connect":
        return open.edit("Link", (edit) => {
          if (effect.replaces !== null) removeLink(edit, graph, effect.replaces);
          connect(edit, graph, effect.from, effect.to);
        });
      case "dropLink": {
        const { replaces, from, at } = effect;
        if (replaces !== null) return open.edit("Unlink", (edit) => removeLink(edit, graph, replaces));
        return session.openSearch?.({ at, screen: toScreen(this.view.viewport, at), from });
      }
      case "addReroute":
        return void open.edit("Reroute", (edit) => addReroute(edit, graph, effect.link, effect.at, effect.stretch));
      case "toFront": return void (this.front = effect.node);
      case "open": return this.openHit(effect);
      case "menu": return session.openMenu?.({ hit: effect.hit, at: effect.at, screen: effect.screen });
    }
  }

  /** The gesture is over. */
  ended(): void {
    const { front } = this;
    this.guides = [];
    this.insertion = null;
    this.front = null;
    if (front === null || !this.isCovered(front)) return;
    const open = this.document();
    open.edit("To front", (edit) => bringToFront(edit, open.graph.id, front));
  }

  private isCovered(id: NodeId): boolean {
    const { scene } = this.view;
    const box = scene.outer(id);
    return scene.visible(box).nodes.some((other) => scene.rank(other) > scene.rank(id) && overlaps(scene.outer(other), box));
  }

  private previewDrag(places: DragPlaces, guides: readonly Guide[]): void {
    const { scene } = this.view;
    this.guides = guides;
    scene.drag(places.nodes, places.reroutes, places.groups);
    for (const id of places.nodes.keys()) this.bodies.place(id);
    const [only] = places.nodes.keys();
    this.insertion = only !== undefined && places.nodes.size === 1 ? insertionOf(scene, only) : null;
    this.view.redraw("base", "overlay");
  }

  private commitDrag(places: DragPlaces): void {
    const open = this.document();
    const graph = open.graph.id;
    const { front, insertion } = this;
    const [only] = places.nodes.keys();
    const covered = front !== null && places.nodes.has(front) && this.isCovered(front);
    this.front = null;
    open.edit("Move", (edit) => {
      moveNodes(edit, graph, places.nodes);
      for (const [id, at] of places.reroutes) moveReroute(edit, graph, id, at);
      for (const [id, rect] of places.groups) setGroupRect(edit, graph, id, rect);
      if (covered) bringToFront(edit, graph, front);
      if (insertion !== null && only !== undefined) insertOnLink(edit, graph, insertion, only);
    });
  }

  private openHit({ hit, at }: Effect & { do: "open" }): void {
    const open = this.document();
    const { session } = this.view;
    if (hit.kind === "void" || (hit.kind === "group" && hit.part === "body")) {
      return session.openSearch?.({ at, screen: toScreen(this.view.viewport, at) });
    }
    if (hit.kind === "group") return this.editGroupTitle(hit.id);
    if (hit.kind !== "node") return undefined;
    const node = open.graph.nodes.byId.get(hit.id);
    if (node === undefined) return undefined;
    if (hit.part === "title") return this.bodies.edit(hit.id, "title");
    if (NOTE_TYPES.has(String(node.type))) return this.bodies.edit(hit.id, "body");
    const inner = definitionOf(open.document, node);
    return inner === null ? undefined : void open.enter(inner);
  }

  private editGroupTitle(id: string): void {
    const open = this.document();
    const rect = this.view.scene.group(id);
    const title = String(open.graph.groups.byId.get(id)?.title ?? "");
    if (rect === undefined) return;
    const place = toScreen(this.view.viewport, rect);
    askInPlace(this.view.element, { ...place, width: rect.width * this.view.viewport.zoom }, sayNow()("node.groupTitle"), title, (text) =>
      open.edit("Group title", (edit) => setGroup(edit, open.graph.id, id, "title", text)));
  }
}
