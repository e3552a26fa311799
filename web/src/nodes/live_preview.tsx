/** The unfinished picture of a node at work: in its body where there is room, else hung below it. */

import { useCallback, useSyncExternalStore } from "react";
import { METRICS, type NodeShape } from "../geometry/node_shape";
import { useSay } from "../i18n/catalogue";
import type { NodeId } from "../model/records";
import type { NodeDesk } from "./node_desk";

interface LivePreviewProps {
  readonly id: NodeId;
  readonly desk: NodeDesk;
  readonly shape: NodeShape;
  /** Where the last row of the body ends. */
  readonly end: number;
}

const MIN_ROOM = 120;

export function LivePreview({ id, desk, shape, end }: LivePreviewProps) {
  const say = useSay();
  const address = useSyncExternalStore(
    useCallback((listener) => desk.subscribePreview(id, listener), [desk, id]),
    () => desk.previewOf(id),
  );
  if (address === null) return null;
  const room = shape.height - end - METRICS.padding;
  const isInside = room >= MIN_ROOM;
  const place = isInside
    ? { left: METRICS.padding, top: end + METRICS.gap, width: shape.width - 2 * METRICS.padding, height: room }
    : { left: 0, top: shape.height + METRICS.gap, width: shape.width };
  return (
    <button
      type="button" className="node-preview" data-own data-below={isInside ? undefined : ""} style={place}
      aria-label={say("node.preview")} onClick={() => desk.showPreview(id)}
    >
      <img src={address} alt="" draggable={false} />
    </button>
  );
}
