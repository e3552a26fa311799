/** What the body of a node may ask and do. Bodies keep nothing: they read here and change the document here. */

import type { PlacedNode } from "../geometry/scene";
import type { FileChoices } from "../model/catalog";
import type { NamesByKind } from "../model/completion";
import type { Json } from "../model/json";
import type { GraphState, NodeId, NodeRecord } from "../model/records";
import type { NodeRun } from "../model/run_facts";
import type { WidgetContext, WidgetView } from "../model/widgets";
import type { PictureOf } from "../server/model_pictures";

/** What is wrong with a node or one of its inputs, and what to do about it. */
export interface Trouble {
  readonly message: string;
  readonly remedy: string;
  readonly input: string | null;
}

export interface NodeDesk {
  readonly context: () => WidgetContext;
  readonly graph: () => GraphState;
  readonly placed: (id: NodeId) => PlacedNode | undefined;
  readonly record: (id: NodeId) => NodeRecord | undefined;
  readonly runOf: (id: NodeId) => NodeRun | undefined;
  /** The address of the unfinished picture a node shows; null when it shows none. */
  readonly previewOf: (id: NodeId) => string | null;
  /** Told of new unfinished pictures, only while the node is seen. */
  readonly subscribePreview: (id: NodeId, listener: () => void) => () => void;
  /** Show the unfinished picture large. */
  readonly showPreview: (id: NodeId) => void;
  readonly troubleOf: (id: NodeId) => Trouble | null;
  /** The value an input had in the last run; undefined when it never ran. */
  readonly lastUsed: (id: NodeId, input: string) => Json | undefined;

  /** A number that changes whenever the body has to be made anew. */
  readonly versionOf: (id: NodeId) => number;
  readonly subscribe: (id: NodeId, listener: () => void) => () => void;
  /** The element of a body, to be put at its place; null when it goes. */
  readonly register: (id: NodeId, element: HTMLElement | null) => void;

  /** What people are editing of the node right now, in place. */
  readonly editing: (id: NodeId) => "title" | "body" | null;
  readonly edit: (id: NodeId, part: "title" | "body" | null) => void;

  /** Set a widget. Changes that follow each other within a second are one step of undo, or all those of one `drag`. */
  readonly setWidget: (id: NodeId, name: string, value: Json, drag?: number) => void;
  readonly setControl: (id: NodeId, name: string, control: string) => void;
  readonly setTitle: (id: NodeId, title: string) => void;
  readonly randomSeed: (id: NodeId, name: string) => void;
  /** Send a file to the server's input folder and choose it in a widget. */
  readonly upload: (id: NodeId, widget: string, file: File) => void;
  /** The same with what a dropped list of addresses names; returns whether it is one of this server. */
  readonly takeLink: (id: NodeId, widget: string, list: string) => boolean;
  /** Names a text may use: embeddings, and LoRAs where one can be put before it; none while the server does not say. */
  readonly weightNames: (id: NodeId) => Promise<NamesByKind>;
  /** Put a LoRA before all that uses the weights this text is read with, and give its widget the rest of the text. */
  readonly addLora: (id: NodeId, widget: string, text: string, name: string) => void;
  /** Choices with a star, of the inputs that share a key. */
  readonly favourites: (key: string) => ReadonlySet<string>;
  /** Give a choice its star, or take it away. */
  readonly star: (key: string, name: string) => void;
  /** The small pictures of the files a list offers; null for a list without any. */
  readonly choicePictures: (files: FileChoices) => Promise<PictureOf | null>;
  /** Paint a mask on the picture a widget names. */
  readonly paintMask: (id: NodeId, widget: string, name: string) => void;
  /** Show the noise levels a widget has as text as a curve. */
  readonly openCurve: (id: NodeId, widget: string, label: string) => void;
  /** Cut a part out of the picture a widget names. */
  readonly cropPicture: (id: NodeId, widget: string, name: string) => void;
  /** The address of a picture of the input folder, by the value of a widget. */
  readonly inputPicture: (value: string) => string;
  /** The address of a picture a run made. */
  readonly outputPicture: (asset: string) => string;
  /** Show a picture large; does nothing while no page offers that. */
  readonly showPicture: (assets: readonly string[], at: number) => void;
}

/** What the control of a widget gets. */
export interface WidgetProps {
  readonly id: NodeId;
  readonly desk: NodeDesk;
  readonly view: WidgetView;
}
