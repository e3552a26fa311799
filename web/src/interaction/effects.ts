/** What a gesture asks for, as data. The view does it; the reducer never touches document, scene or browser. */

import type { Guide } from "../geometry/snapping";
import type { Point, Rect } from "../geometry/shapes";
import type { Hit } from "../geometry/scene";
import type { Viewport } from "../geometry/viewport";
import type { SocketPlace } from "../model/link_edits";
import type { GroupId, LinkId, NodeId, RerouteId } from "../model/records";
import type { Selection } from "../model/selection";

/** New places of what is dragged. */
export interface DragPlaces {
  readonly nodes: ReadonlyMap<NodeId, Point>;
  readonly reroutes: ReadonlyMap<RerouteId, Point>;
  readonly groups: ReadonlyMap<GroupId, Rect>;
}

export type Effect =
  | { readonly do: "view"; readonly viewport: Viewport }
  | { readonly do: "select"; readonly selection: Selection }
  /** Show what is dragged at its places; the document does not change. */
  | { readonly do: "previewDrag"; readonly places: DragPlaces; readonly guides: readonly Guide[] }
  /** One edit: the places are final. */
  | { readonly do: "commitDrag"; readonly places: DragPlaces }
  | { readonly do: "cancelDrag" }
  | { readonly do: "previewResize"; readonly node: NodeId; readonly width: number; readonly height: number }
  | { readonly do: "commitResize"; readonly node: NodeId; readonly width: number; readonly height: number }
  /** `replaces` is the link whose end was picked up, if one was. */
  | { readonly do: "connect"; readonly from: SocketPlace; readonly to: SocketPlace; readonly replaces: LinkId | null }
  /** A link was dropped where no socket is. */
  | {
      readonly do: "dropLink"; readonly from: LinkEnd; readonly at: Point; readonly replaces: LinkId | null;
      readonly modifiers: { readonly shift: boolean };
    }
  | { readonly do: "addReroute"; readonly link: LinkId; readonly at: Point; readonly stretch: number }
  | { readonly do: "toFront"; readonly node: NodeId }
  /** Double click. */
  | { readonly do: "open"; readonly hit: Hit; readonly at: Point }
  | { readonly do: "menu"; readonly hit: Hit; readonly at: Point; readonly screen: Point };

/** The end of a link that stays while the other end is dragged. */
export interface LinkEnd extends SocketPlace {
  readonly side: "input" | "output";
  readonly type: string;
}
