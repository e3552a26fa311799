/** What several panels need of documents. */

import { useEffect, useReducer } from "react";
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
