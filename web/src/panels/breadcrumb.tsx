/** The way into the subgraph that is shown, from the outside in. */

import { ChevronRight } from "lucide-react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import type { GraphId } from "../model/records";
import { useDocument } from "../ui/hooks";

export function Breadcrumb({ session, onInterface }: { session: Session; onInterface: (graph: GraphId) => void }) {
  const say = useSay();
  const open = useDocument(useStore(session.store, (state) => state.open));
  if (open.path.length < 2) return null;
  const nameOf = (id: GraphId, depth: number) => {
    const name = open.document.graphs.get(id)?.rest.name;
    return depth === 0 ? say("subgraph.root") : typeof name === "string" && name !== "" ? name : say("subgraph.new");
  };
  return (
    <nav
      aria-label={say("subgraph.path")}
      className="absolute top-2 left-2 z-10 flex max-w-[calc(100%-1rem)] items-center overflow-x-auto rounded-lg border border-line bg-surface px-1 py-0.5 shadow-sm"
    >
      <ol className="flex items-center">
        {open.path.map((id, depth) => (
          <li key={depth} className="flex items-center">
            {depth > 0 && <ChevronRight size={14} aria-hidden className="text-quiet" />}
            <button
              type="button" aria-current={depth === open.path.length - 1 ? "page" : undefined} onClick={() => open.leaveTo(depth)}
              className="max-w-48 truncate rounded px-2 py-1 whitespace-nowrap text-quiet hover:text-text aria-[current]:font-semibold aria-[current]:text-text"
            >
              {nameOf(id, depth)}
            </button>
          </li>
        ))}
      </ol>
      <button
        type="button" onClick={() => onInterface(open.graph.id)}
        className="ml-1 rounded border-l border-line px-2 py-1 whitespace-nowrap text-accent hover:bg-raised"
      >
        {say("subgraph.interface")}
      </button>
    </nav>
  );
}
