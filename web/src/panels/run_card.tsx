/** The job that runs or ran last: how far it is and what it made. */

import { X } from "lucide-react";
import { useState } from "react";
import { useStore } from "zustand";
import type { RunState } from "../app/run_state";
import type { Session } from "../app/session";
import { useSay, type Say } from "../i18n/catalogue";
import { titleOf } from "../model/node_reading";
import { rootOf } from "../model/records";
import { previewAddress } from "../server/workflows";
import { IconButton } from "../ui/parts";

export function RunCard({ session }: { session: Session }) {
  const say = useSay();
  const run = useStore(session.store, (state) => state.run);
  const [closed, setClosed] = useState("");
  if (run === null || closed === run.job) return null;
  const last = run.pictures.at(-1);
  const { preview } = run;
  return (
    <section
      aria-label={say("run.label")} className="absolute right-3 bottom-3 z-10 w-56 overflow-hidden rounded-xl border border-line bg-surface shadow-lg max-md:w-36"
    >
      {preview !== null && (
        <button type="button" className="block w-full" aria-label={say("run.preview")} onClick={() => session.openPreview?.(run.document, preview.node)}>
          <img className="max-h-56 w-full object-contain" src={previewAddress(preview)} alt={say("run.preview")} />
        </button>
      )}
      {preview === null && last !== undefined && (
        <button type="button" className="block w-full" aria-label={say("run.show")} onClick={() => session.openPictures?.(run.pictures, run.pictures.length - 1)}>
          <img className="max-h-56 w-full object-contain" src={`/api/v1/assets/${encodeURIComponent(last)}`} alt={say("run.picture")} />
        </button>
      )}
      <div className="flex items-center py-0.5 pr-1 pl-3">
        <p aria-live="polite" className="min-w-0 flex-1 truncate" title={run.message}>{describeRun(session, run, say)}</p>
        <IconButton label={say("app.close")} onClick={() => setClosed(run.job)}><X size={14} /></IconButton>
      </div>
      {run.progress !== null && (
        <div
          role="progressbar" aria-label={say("run.progress")} aria-valuemin={0} aria-valuemax={100}
          aria-valuenow={Math.round(run.progress * 100)} className="h-1 bg-line"
        >
          <div className="h-full bg-accent" style={{ width: `${run.progress * 100}%` }} />
        </div>
      )}
    </section>
  );
}

export function describeRun(session: Session, run: RunState, say: Say): string {
  if (run.state === "waiting") return say("state.queued");
  if (run.state === "ended") return run.message || say(`state.${run.end ?? "succeeded"}`);
  const [top = ""] = (run.node ?? "").split(":");
  const { document } = run.document;
  const node = rootOf(document).nodes.byId.get(top);
  return node === undefined ? say("state.running") : titleOf(node, session.store.getState().catalog, document);
}
