/** The states of the pointer machine, and what it asks about the world. */

import type { Hit } from "../geometry/scene";
import type { Point, Rect } from "../geometry/shapes";
import type { Viewport } from "../geometry/viewport";
import type { GroupId, LinkId, NodeId, RerouteId } from "../model/records";
import type { Selection } from "../model/selection";
import type { DragPlaces, Effect, LinkEnd } from "./effects";
import type { Modifiers } from "./events";

/** What the reducer asks about the shown graph. A `Scene` with the selection and the settings answers it. */
export interface World {
  readonly viewport: Viewport;
  readonly selection: Selection;
  /** Lines of the grid are this far apart, in world units. */
  readonly grid: number;
  /** Whether things are put on the grid; shift turns that around while it is held. */
  readonly snapsToGrid: boolean;
  readonly showsGuides: boolean;
  hit(point: Point, reach: number): Hit;
  socketNear(point: Point, side: "input" | "output", reach: number): (Hit & { kind: "socket" }) | null;
  inBox(box: Rect): { nodes: NodeId[]; reroutes: RerouteId[]; groups: GroupId[] };
  heldBy(group: GroupId): { nodes: NodeId[]; reroutes: RerouteId[] };
  nodeAt(id: NodeId): Point | null;
  outer(id: NodeId): Rect;
  rerouteAt(id: RerouteId): Point | null;
  groupRect(id: GroupId): Rect | null;
  isFixed(id: NodeId): boolean;
  nodeSize(id: NodeId): { width: number; height: number; minHeight: number } | null;
  /** Rectangles of nodes near a region that are not in `except`. */
  neighbours(region: Rect, except: ReadonlySet<NodeId>): readonly Rect[];
  /** The link that ends at an input. */
  linkInto(node: NodeId, slot: number): { readonly id: LinkId; readonly from: LinkEnd } | null;
  fits(outputType: string, inputType: string): boolean;
}

export type Gesture =
  | { readonly is: "idle" }
  | { readonly is: "panning"; readonly pointer: number; readonly last: Point }
  | {
      readonly is: "pressed"; readonly pointer: number; readonly start: Point; readonly hit: Hit;
      readonly modifiers: Modifiers; readonly wasSelected: boolean;
    }
  | {
      readonly is: "dragging"; readonly pointer: number; readonly start: Point; readonly from: DragPlaces;
      readonly bounds: Rect; readonly places: DragPlaces;
    }
  | { readonly is: "boxing"; readonly pointer: number; readonly start: Point; readonly now: Point; readonly base: Selection; readonly toggles: boolean }
  | {
      readonly is: "linking"; readonly pointer: number; readonly from: LinkEnd; readonly now: Point;
      readonly target: (Hit & { kind: "socket" }) | null; readonly replaces: LinkId | null; readonly shift: boolean;
    }
  | {
      readonly is: "resizing"; readonly pointer: number; readonly node: NodeId; readonly start: Point;
      readonly width: number; readonly height: number; readonly minHeight: number;
      readonly now: { readonly width: number; readonly height: number };
    }
  | { readonly is: "resizingGroup"; readonly pointer: number; readonly group: GroupId; readonly start: Point; readonly rect: Rect; readonly now: Rect }
  | { readonly is: "pinching"; readonly points: ReadonlyMap<number, Point> };

/** The whole state: the gesture and what is held down beside it. */
export interface GestureState {
  readonly gesture: Gesture;
  readonly isSpaceDown: boolean;
  /** Fingers on the glass. */
  readonly touches: ReadonlyMap<number, Point>;
}

export interface Answer {
  readonly state: GestureState;
  readonly effects: readonly Effect[];
}

export const IDLE: GestureState = { gesture: { is: "idle" }, isSpaceDown: false, touches: new Map() };
