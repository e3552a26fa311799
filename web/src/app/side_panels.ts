/** Which panels stand beside the graph. Where there is no room beside it they lie over it, so only one is open then. */

import { useEffect, useState } from "react";
import type { PanelName } from "../panels/side_rail";

const WIDE = "(min-width: 64rem)";
const BESIDE = "(min-width: 48rem)";

export interface SidePanels {
  /** What the rail has open; null for nothing. */
  readonly panel: PanelName | null;
  readonly hasProperties: boolean;
  readonly showPanel: (panel: PanelName | null) => void;
  readonly showProperties: (isShown: boolean) => void;
}

/** Properties are open at first on wide windows, and close when a window becomes too narrow to have them beside the graph. */
export function useSidePanels(): SidePanels {
  const [panel, setPanel] = useState<PanelName | null>(null);
  const [hasProperties, setProperties] = useState(() => matchMedia(WIDE).matches);
  useEffect(() => {
    const beside = matchMedia(BESIDE);
    const end = new AbortController();
    beside.addEventListener("change", () => void (!beside.matches && setProperties(false)), { signal: end.signal });
    return () => end.abort();
  }, []);
  const isOver = () => !matchMedia(BESIDE).matches;
  return {
    panel,
    hasProperties,
    showPanel: (next) => {
      setPanel(next);
      if (next !== null && isOver()) setProperties(false);
    },
    showProperties: (isShown) => {
      setProperties(isShown);
      if (isShown && isOver()) setPanel(null);
    },
  };
}
