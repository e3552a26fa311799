/** What there is to draw below the nodes' bodies. */

import type { Scene } from "../geometry/scene";
import type { Size, Viewport } from "../geometry/viewport";
import type { NodeId } from "../model/records";
import type { WidgetContext } from "../model/widgets";
import type { ShapePath } from "./drawing";

export interface Picture {
  readonly scene: Scene;
  readonly context: WidgetContext;
  readonly viewport: Viewport;
  readonly size: Size;
  readonly pixelRatio: number;
  /** Nodes that have a DOM body and are not drawn. */
  readonly mounted: ReadonlySet<NodeId>;
  readonly hasGrid: boolean;
  /** A path of what it is drawn on. */
  readonly newPath: () => ShapePath;
  /** What a node has to show, as far as it can be drawn now. */
  readonly imageOf: (node: NodeId) => HTMLImageElement | null;
}
