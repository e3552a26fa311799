/** What the canvas asks the panels for. A panel takes a request by setting `session.openSearch` or `session.openMenu`. */

import type { Hit } from "../geometry/scene";
import type { Point } from "../geometry/shapes";
import type { LinkEnd } from "../interaction/effects";

/** Search for a node to add. */
export interface SearchRequest {
  /** Where the new node goes, in world units. */
  readonly at: Point;
  /** Where the search shows, in pixels from the top left corner of the canvas. */
  readonly screen: Point;
  /** The socket a dropped link comes from: only nodes that fit are offered, and the chosen one is linked. */
  readonly from?: LinkEnd;
}

/** Show the menu of what is under the pointer. */
export interface MenuRequest {
  readonly hit: Hit;
  readonly at: Point;
  readonly screen: Point;
}

/** Noise levels of a widget to be shown as a curve. */
export interface CurveRequest {
  readonly label: string;
  /** The text as the document has it now. */
  readonly read: () => string;
  readonly set: (text: string) => void;
}

/** A picture of the input folder to paint a mask on, or to cut a part out of. */
export interface MaskRequest {
  /** As the widget has it. */
  readonly name: string;
  readonly addressOf: (name: string) => string;
  /** Takes what came of it. */
  readonly done: (file: File) => void;
}
