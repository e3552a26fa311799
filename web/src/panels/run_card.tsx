/** The job that runs or ran last: whose it is, how far it is and what it made. Small, for the graph is below it, until somebody wants it large. */

import { ChevronDown, ChevronUp, X } from "lucide-react";
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
  const [isLarge, setLarge] = useState(false);
  if (run === null || closed === run.job) return null;
  const picture = pictureOf(session, run, say);
  return (
    <section
      aria-label={say("run.label")}
      className="absolute right-3 bottom-3 z-10 w-56 overflow-hidden rounded-xl border border-line bg-surface shadow-lg max-md:w-44"
    >
      {isLarge && picture !== null && (
        <button type="button" className="block w-full" aria-label={picture.action} onClick={picture.open}>
          <img className="max-h-56 w-full object-contain" src={picture.url} alt={picture.alt} />
        </button>
      )}
      <div className="flex items-center py-1.5 pr-1 pl-1.5">
        {!isLarge && picture !== null && (
          <button type="button" className="mr-1 size-16 shrink-0 overflow-hidden rounded-md border border-line" aria-label={picture.action} onClick={picture.open}>
            <img className="size-full object-cover" src={picture.url} alt={picture.alt} />
          </button>
        )}
        <div className="min-w-0 flex-1 pl-1">
          <p aria-live="polite" className={`truncate ${run.end === "failed" ? "text-danger" : ""}`} title={run.message}>{describeRun(session, run, say)}</p>
          <p className="truncate text-xs text-quiet">{run.name || say("bar.untitled")}</p>
        </div>
        {picture !== null && (
          <IconButton label={say(isLarge ? "run.small" : "run.large")} className="size-7!" onClick={() => setLarge(!isLarge)}>
            {isLarge ? <ChevronDown size={14} /> : <ChevronUp size={14} />}
          </IconButton>
        )}
        <IconButton label={say("app.close")} className="size-7!" onClick={() => setClosed(run.job)}><X size={14} /></IconButton>
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

interface CardPicture {
  readonly url: string;
  readonly alt: string;
  readonly action: string;
  readonly open: () => void;
}

/** The newest unfinished picture while it runs, then the last that was made. */
function pictureOf(session: Session, { document, preview, pictures }: RunState, say: Say): CardPicture | null {
  const last = pictures.at(-1);
  if (preview !== null) {
    const open = () => session.openPreview?.(document, preview.node);
    return { url: previewAddress(preview), alt: say("run.preview"), action: say("run.preview"), open };
  }
  if (last === undefined) return null;
  const open = () => session.openPictures?.(pictures, pictures.length - 1);
  return { url: `/api/v1/assets/${encodeURIComponent(last)}`, alt: say("run.picture"), action: say("run.show"), open };
}

export function describeRun(session: Session, run: RunState, say: Say): string {
  if (run.state === "waiting") return say("state.queued");
  if (run.state === "ended") return run.message || say(`state.${run.end ?? "succeeded"}`);
  const [top = ""] = (run.node ?? "").split(":");
  const { document } = run.document;
  const node = rootOf(document).nodes.byId.get(top);
  return node === undefined ? say("state.running") : titleOf(node, session.store.getState().catalog, document);
}
