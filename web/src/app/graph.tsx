/** The canvas. React mounts it once and never renders it again. */

import { useEffect, useRef } from "react";
import { GraphView } from "./graph_view";
import type { Session } from "./session";

export function Graph({ session }: { session: Session }) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const view = new GraphView(element.current as HTMLDivElement, session);
    return () => view.close();
  }, [session]);
  return (
    <div
      ref={element} className="stage" tabIndex={0} role="application" aria-label="Graph of the workflow"
      onContextMenu={(event) => event.preventDefault()}
    />
  );
}
