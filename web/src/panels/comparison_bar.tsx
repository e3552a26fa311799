/** What differs from another version, as a line above the graph and as a list; the way back to it. */

import { ChevronDown, X } from "lucide-react";
import { useEffect, useState } from "react";
import { useStore } from "zustand";
import type { Comparison } from "../app/comparison";
import type { Session } from "../app/session";
import { showPath } from "../app/showing";
import { shortValue } from "../canvas/change_painter";
import { useSay, type Say } from "../i18n/catalogue";
import { restore, type NodeChange } from "../model/diff";
import { useDocument } from "../ui/hooks";
import { IconButton, PLAIN_BUTTON } from "../ui/parts";

export default function ComparisonBar({ session, comparison }: { session: Session; comparison: Comparison }) {
  const say = useSay();
  const shown = useStore(session.store, (state) => state.open);
  const open = useDocument(comparison.open);
  const [isOpen, setOpen] = useState(false);
  const close = () => session.comparison.setState(null, true);
  useEffect(() => {
    if (shown !== comparison.open) session.comparison.setState(null, true);
  }, [session, shown, comparison]);
  const changes = comparison.changes(session.contextOf(open.document));
  const count = (kind: NodeChange["kind"]) => changes.filter((change) => change.kind === kind).length;
  const facts = (["added", "removed", "changed", "moved"] as const).filter((kind) => count(kind) > 0)
    .map((kind) => say(`compare.${kind}`, { count: count(kind) }));
  return (
    <section aria-label={say("compare.title")} className={`${open.path.length > 1 ? "top-13" : "top-2"} absolute inset-x-2 z-20 mx-auto flex max-h-[60%] max-w-2xl flex-col rounded-lg border border-line bg-surface shadow-lg`}>
      <div className="flex flex-wrap items-center gap-2 py-1 pr-1 pl-3">
        <p className="min-w-0 flex-1" role="status">
          <span className="font-semibold">{say("compare.with", { name: comparison.name })}</span>{" "}
          <span className="text-quiet">{facts.length === 0 ? say("compare.same") : facts.join(", ")}</span>
        </p>
        {changes.length > 0 && (
          <button type="button" className={PLAIN_BUTTON} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
            {say("compare.list")}<ChevronDown size={14} className={isOpen ? "rotate-180" : ""} />
          </button>
        )}
        <button
          type="button" className={PLAIN_BUTTON} disabled={changes.length === 0}
          onClick={() => { open.edit("Restore", (edit) => restore(edit, comparison.before)); close(); }}
        >
          {say("compare.restore")}
        </button>
        <IconButton label={say("app.close")} onClick={close}><X size={15} /></IconButton>
      </div>
      {isOpen && (
        <ul className="min-h-0 divide-y divide-line overflow-auto border-t border-line" tabIndex={-1}>
          {changes.map((change) => (
            <li key={`${change.graph}/${change.node}`} className="flex gap-2 px-3 py-1">
              <span className="w-20 shrink-0 text-quiet">{say(`compare.is.${change.kind}`)}</span>
              <span className="min-w-0 flex-1">
                {change.kind === "removed" || change.graph !== open.graph.id
                  ? <span className="text-quiet">{change.title}</span>
                  : <button type="button" className="text-left hover:underline" onClick={() => goTo(session, change)}>{change.title}</button>}
                <span className="text-xs text-quiet"> #{change.node}</span>
                {detailsOf(change, say).map((text, i) => <span key={i} className="block text-xs break-words text-quiet">{text}</span>)}
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Only nodes of the graph that is shown: there may be many ways into another. */
function goTo(session: Session, { node }: NodeChange): void {
  const { open } = session.store.getState();
  if (open.path.length === 1) showPath(session, [node]);
  else session.desk?.showNode(node);
}

function detailsOf(change: NodeChange, say: Say): readonly string[] {
  const values = change.values.map((value) => `${value.name}: ${shortValue(value.before)} → ${shortValue(value.after)}`);
  return [...values, ...change.also.map((what) => say(`compare.also.${what}`))];
}
