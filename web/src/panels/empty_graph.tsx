/** What to do with an empty workflow, in its middle; the canvas around the buttons stays free. */

import { LayoutTemplate, Plus } from "lucide-react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { ROOT } from "../model/records";
import { useIsEmpty } from "../ui/hooks";
import { MAIN_BUTTON, PLAIN_BUTTON } from "../ui/parts";

interface EmptyGraphProps {
  readonly session: Session;
  readonly onTemplates: () => void;
  readonly onAdd: () => void;
}

export function EmptyGraph({ session, onTemplates, onAdd }: EmptyGraphProps) {
  const say = useSay();
  const open = useStore(session.store, (state) => state.open);
  const isReady = useStore(session.store, (state) => state.catalog.specs.size > 0 && !state.isRestoring);
  const isEmpty = useIsEmpty(open);
  if (!isEmpty || !isReady || open.graph.id !== ROOT) return null;
  return (
    <section aria-label={say("empty.title")} className="pointer-events-none absolute inset-x-0 top-1/4 z-10 flex flex-col items-center gap-4 px-4 text-center">
      <h2 className="text-lg font-semibold">{say("empty.title")}</h2>
      <div className="pointer-events-auto flex flex-wrap justify-center gap-2">
        <button type="button" className={`${MAIN_BUTTON} py-1.5`} onClick={onTemplates}><LayoutTemplate size={15} />{say("empty.template")}</button>
        <button type="button" className={`${PLAIN_BUTTON} py-1.5`} onClick={onAdd}><Plus size={15} />{say("context.add")}</button>
      </div>
      <p className="max-w-md text-quiet">{say("empty.hint")}</p>
    </section>
  );
}
