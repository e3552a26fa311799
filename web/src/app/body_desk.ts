/** The desk of the nodes' bodies: reads the session, changes the document, and says which bodies have to be made anew. */

import { fileBehind, ownLink } from "../files/dropped_link";
import { sayNow } from "../i18n/catalogue";
import type { PlacedNode, Scene } from "../geometry/scene";
import { overlaps, type Rect } from "../geometry/shapes";
import { setControl, setTitle, setWidget } from "../model/node_edits";
import type { Json } from "../model/json";
import { choicesOf, type FileChoices } from "../model/catalog";
import { weightName, type NamesByKind } from "../model/completion";
import { insertLora, loraFiles, LORA_LOADER, loraSource } from "../model/lora_insertion";
import { typeOf } from "../model/node_reading";
import type { OpenDocument } from "../model/open_document";
import { ROOT, type GraphState, type NodeId, type NodeRecord } from "../model/records";
import { factsOf, type NodeRun } from "../model/run_facts";
import { nextValue } from "../model/seeds";
import { editorText } from "../model/widget_plan";
import { widgetsOf, type WidgetContext } from "../model/widgets";
import type { NodeDesk, Trouble } from "../nodes/node_desk";
import { urlOf } from "../server/client";
import { inputPictureAddress } from "../server/input_pictures";
import { choicePictures, type PictureOf } from "../server/model_pictures";
import { embeddingNames, previewAddress, upload } from "../server/workflows";
import { preferences, withStar } from "../settings/preferences";
import type { Session } from "./session";

/** How far things hang below a body, in world units. */
const HANGING = 400;

type Listeners = Map<NodeId, Set<() => void>>;

function subscribeTo(listeners: Listeners, id: NodeId, listener: () => void): () => void {
  const own = listeners.get(id) ?? new Set();
  listeners.set(id, own.add(listener));
  return () => {
    own.delete(listener);
    if (own.size === 0) listeners.delete(id);
  };
}

export class BodyDesk implements NodeDesk {
  private readonly session: Session;
  private readonly scene: Scene;
  private readonly versions = new Map<NodeId, number>();
  private readonly listeners: Listeners = new Map();
  private readonly watchers: Listeners = new Map();
  private readonly elements = new Map<NodeId, HTMLElement>();
  private readonly unseen = new Set<NodeId>();
  private inHand: { readonly id: NodeId; readonly part: "title" | "body" } | null = null;

  constructor(session: Session, scene: Scene) {
    this.session = session;
    this.scene = scene;
  }

  private get open(): OpenDocument {
    return this.session.store.getState().open;
  }

  // -------------------------------------------------------------- which bodies change

  /** The bodies of these nodes are made anew. */
  bump(ids: Iterable<NodeId>): void {
    for (const id of ids) {
      const listeners = this.listeners.get(id);
      if (listeners === undefined) continue;
      this.versions.set(id, this.versionOf(id) + 1);
      for (const listener of Array.from(listeners)) listener();
      this.place(id);
    }
  }

  bumpAll(): void {
    this.bump([...this.listeners.keys()]);
  }

  /** Puts a body where the scene has its node. */
  place(id: NodeId): void {
    const element = this.elements.get(id);
    const placed = this.scene.node(id);
    if (element === undefined || placed === undefined) return;
    element.style.transform = `translate(${placed.at.x}px, ${placed.at.y}px)`;
    element.style.zIndex = String(this.scene.rank(id) + 1);
  }

  /**
   * Bodies outside of `seen` are not drawn: every one of them is a layer, and layers cost in each frame that moves them.
   * What hangs below a body (an unfinished picture, an error) counts as part of it.
   */
  showIn(seen: Rect): void {
    const faulty = this.faulty();
    for (const [id, element] of this.elements) {
      const box = this.scene.outer(id);
      const hangs = faulty.has(id) || this.previewOf(id) !== null;
      const isSeen = overlaps(hangs ? { ...box, height: box.height + HANGING } : box, seen) || this.isHeld(id);
      if (isSeen === this.unseen.has(id)) {
        element.style.contentVisibility = isSeen ? "" : "hidden";
        if (isSeen) this.unseen.delete(id);
        else this.unseen.add(id);
      }
    }
  }

  /** The order from back to front has changed. */
  placeAll(): void {
    for (const id of this.elements.keys()) this.place(id);
  }

  /** Whether somebody types in a body. */
  isHeld(id: NodeId): boolean {
    return this.inHand?.id === id || this.elements.get(id)?.contains(document.activeElement) === true;
  }

  readonly versionOf = (id: NodeId): number => this.versions.get(id) ?? 0;

  readonly subscribe = (id: NodeId, listener: () => void): (() => void) => subscribeTo(this.listeners, id, listener);

  readonly subscribePreview = (id: NodeId, listener: () => void): (() => void) => subscribeTo(this.watchers, id, listener);

  /** These show another unfinished picture; the rest of their bodies stays. */
  bumpPreviews(ids: Iterable<NodeId>): void {
    for (const id of ids) for (const listener of Array.from(this.watchers.get(id) ?? [])) listener();
  }

  readonly register = (id: NodeId, element: HTMLElement | null): void => {
    this.unseen.delete(id);
    if (element === null) this.elements.delete(id);
    else {
      this.elements.set(id, element);
      this.place(id);
    }
  };

  // -------------------------------------------------------------- reading

  readonly context = (): WidgetContext => this.session.contextOf(this.open.document);
  readonly graph = (): GraphState => this.open.graph;
  readonly placed = (id: NodeId): PlacedNode | undefined => this.scene.node(id);
  readonly record = (id: NodeId): NodeRecord | undefined => this.open.graph.nodes.byId.get(id);

  readonly runOf = (id: NodeId): NodeRun | undefined =>
    factsOf(this.session.board.of(this.open), id, this.open.graph.id === ROOT);

  readonly previewOf = (id: NodeId): string | null => {
    const preview = this.runOf(id)?.preview ?? null;
    return preview === null ? null : previewAddress(preview);
  };

  readonly showPreview = (id: NodeId): void => {
    const node = this.runOf(id)?.preview?.node;
    if (node !== undefined) this.session.openPreview?.(this.open, node);
  };

  readonly troubleOf = (id: NodeId): Trouble | null => {
    const { problems, open } = this.session.store.getState();
    const found = problems.find((item) => item.document === open && item.node !== null && this.isHere(item.node, id));
    return found === undefined ? null : { message: found.message, remedy: found.remedy, input: found.input };
  };

  /** Ids of nodes of the shown graph that something is wrong with. */
  faulty(): ReadonlySet<NodeId> {
    const { problems, open } = this.session.store.getState();
    const paths = problems.flatMap((item) => (item.document === open && item.node !== null ? [item.node] : []));
    const isRoot = open.graph.id === ROOT;
    return new Set(paths.map((path) => (isRoot ? path.split(":", 1)[0] : path.split(":").at(-1)) as NodeId));
  }

  private isHere(path: string, id: NodeId): boolean {
    return path === id || (this.open.graph.id === ROOT ? path.startsWith(`${id}:`) : path.endsWith(`:${id}`));
  }

  readonly lastUsed = (id: NodeId, input: string): Json | undefined => this.session.board.used(this.open, id, input);

  readonly inputPicture = inputPictureAddress;

  readonly outputPicture = (asset: string): string => urlOf("/assets/{asset}", { asset }, {});

  readonly showPicture = (assets: readonly string[], at: number): void => {
    const asset = assets[at];
    if (asset === undefined) return;
    if (this.session.openPictures !== null) this.session.openPictures(assets, at);
    else window.open(this.outputPicture(asset), "_blank", "noopener");
  };

  // -------------------------------------------------------------- changing

  readonly editing = (id: NodeId): "title" | "body" | null => (this.inHand?.id === id ? this.inHand.part : null);

  readonly edit = (id: NodeId, part: "title" | "body" | null): void => {
    this.inHand = part === null ? null : { id, part };
    this.bump([id]);
  };

  readonly setWidget = (id: NodeId, name: string, value: Json, drag?: number): void => {
    const { catalog, listFiles } = this.context();
    const { open } = this;
    const graph = open.graph.id;
    const merge = `widget:${id}:${name}`;
    const options = drag === undefined ? { merge } : { merge: `${merge}:${drag}`, mergeWithinMs: Infinity };
    open.edit(`Set ${name}`, (edit) => setWidget(edit, graph, id, name, value, catalog, listFiles), options);
  };

  readonly setControl = (id: NodeId, name: string, control: string): void => {
    const { catalog, listFiles } = this.context();
    const { open } = this;
    open.edit(`Set ${name}`, (edit) => setControl(edit, open.graph.id, id, name, control, catalog, listFiles));
  };

  readonly setTitle = (id: NodeId, title: string): void => {
    const { open } = this;
    open.edit("Title", (edit) => setTitle(edit, open.graph.id, id, title));
  };

  readonly randomSeed = (id: NodeId, name: string): void => {
    const record = this.record(id);
    const context = this.context();
    const view = record && widgetsOf(context, this.open.graph, record).find((item) => item.name === name);
    if (view === undefined || view.spec === null) return;
    const choices = choicesOf(view.spec, context.listFiles);
    const next = nextValue(view.spec, view.value, "randomize", { random: this.session.random, choices });
    if (next !== undefined) this.setWidget(id, name, next);
  };

  readonly upload = (id: NodeId, widget: string, file: File): void => {
    void this.send(id, widget, file).catch((error: unknown) =>
      this.session.tell(error));
  };

  readonly takeLink = (id: NodeId, widget: string, list: string): boolean => {
    const link = ownLink(list, location.origin);
    if (link === null) return false;
    void fileBehind(this.session.client, link).then((file) => this.upload(id, widget, file), (error: unknown) => this.session.tell(error));
    return true;
  };

  readonly weightNames = async (id: NodeId): Promise<NamesByKind> => {
    const { catalog } = this.context();
    const hasPlace = catalog.get(LORA_LOADER) !== undefined && loraSource(this.open.graph, id) !== null;
    const { client, files } = this.session;
    const [embedding] = await Promise.all([embeddingNames(client), hasPlace ? files.load(catalog, [LORA_LOADER]).catch(() => undefined) : null]);
    return { embedding, lora: hasPlace ? loraFiles(this.context()).map(weightName) : [] };
  };

  readonly addLora = (id: NodeId, widget: string, text: string, name: string): void => {
    const { catalog, listFiles } = this.context();
    const { open } = this;
    const graph = open.graph.id;
    const file = loraFiles(this.context()).find((item) => weightName(item) === name) ?? name;
    open.edit("Add a LoRA", (edit) => {
      setWidget(edit, graph, id, widget, text, catalog, listFiles);
      insertLora(edit, graph, id, file, catalog, listFiles);
    });
    this.session.say(sayNow()("node.loraAdded", { name }));
  };

  readonly favourites = (key: string): ReadonlySet<string> => new Set(preferences.getState().favourites[key] ?? []);

  readonly star = (key: string, name: string): void =>
    preferences.setState({ favourites: withStar(preferences.getState().favourites, key, name) });

  readonly choicePictures = (files: FileChoices): Promise<PictureOf | null> => choicePictures(this.session.client, files);

  readonly paintMask = (id: NodeId, widget: string, name: string): void =>
    this.session.openMask?.({ name, addressOf: this.inputPicture, done: (file) => this.upload(id, widget, file) });

  readonly openCurve = (id: NodeId, name: string, label: string): void => {
    const read = () => {
      const record = this.record(id);
      const view = record && widgetsOf(this.context(), this.open.graph, record).find((item) => item.name === name);
      return editorText(view?.value);
    };
    this.session.openCurve?.({ label, read, set: (text) => this.setWidget(id, name, text) });
  };

  readonly cropPicture = (id: NodeId, widget: string, name: string): void =>
    this.session.openCrop?.({ name, addressOf: this.inputPicture, done: (file) => this.upload(id, widget, file) });

  private async send(id: NodeId, widget: string, file: File): Promise<void> {
    const { open } = this;
    const record = this.record(id);
    if (record === undefined) return;
    const sent = await upload(this.session.client, file);
    const name = sent.subfolder === "" ? sent.name : `${sent.subfolder}/${sent.name}`;
    await this.session.files.load(this.session.store.getState().catalog, [typeOf(record)]);
    // The document may have been closed meanwhile, or the node taken away.
    if (this.open === open && this.record(id) !== undefined) this.setWidget(id, widget, name);
  }
}
