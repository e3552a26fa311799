/** What several panels need of documents. */

import { useCallback, useEffect, useReducer, useSyncExternalStore } from "react";
import type { OpenDocument } from "../model/open_document";

/** Show again when the document, its selection or its shown graph changes; never more than once a frame. */
export function useDocument(open: OpenDocument): OpenDocument {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    let frame = 0;
    const end = open.subscribe(() => {
      if (frame === 0) frame = requestAnimationFrame(() => { frame = 0; again(); });
    });
    return () => {
      end();
      cancelAnimationFrame(frame);
    };
  }, [open]);
  return open;
}

/** Whether the shown graph has no node; tells of nothing else, so that no edit shows anything again. */
export function useIsEmpty(open: OpenDocument): boolean {
  const subscribe = useCallback((listener: () => void) => open.subscribe(listener), [open]);
  return useSyncExternalStore(subscribe, () => open.graph.nodes.ids.length === 0);
}
