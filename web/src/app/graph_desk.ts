/** What the canvas offers the parts around it, while it is mounted. */

import type { CommandName } from "../interaction/keymap";
import type { Point } from "../geometry/shapes";
import type { NodeId } from "../model/records";

export interface GraphDesk {
  readonly perform: (name: CommandName) => void;
  /** Select a node of the shown graph and bring it into view. */
  readonly showNode: (node: NodeId) => void;
  /** A place of the canvas, in pixels from its corner, in the space of the graph. */
  readonly placeAt: (screen: Point) => Point;
  /** The middle of what is seen, in the space of the graph. */
  readonly middle: () => Point;
  /** Shows the map of the graph in an element; returns the function that ends it. */
  readonly showMap: (element: HTMLElement) => () => void;
}
