/** What runs, waits and ran: cancel, move, run again, forget, and the graph of each job. */

import { ArrowDown, ArrowUp, ArrowUpToLine, Pause, Play, RotateCcw, SquareArrowOutUpRight, Square, Trash2 } from "lucide-react";
import { useState } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay, type Say } from "../i18n/catalogue";
import { durationText } from "../ui/duration";
import { isObject } from "../model/json";
import { isWorkflow } from "../model/workflow_file";
import type { Job } from "../server/api_types";
import { Empty, IconButton, PLAIN_BUTTON } from "../ui/parts";
import { JobMemory } from "./job_memory";
import { useWatched } from "./watching";

const EVERY_MS = 2500;
const PAGE = 30;
const MAX_PRIORITY = 1000;
const ENDED: ReadonlySet<Job["state"]> = new Set(["succeeded", "failed", "cancelled", "quarantined"]);
const COLORS: Readonly<Record<string, string>> = {
  running: "text-accent", leased: "text-accent", succeeded: "text-good", failed: "text-danger", quarantined: "text-danger",
};

export default function QueuePanel({ session }: { session: Session }) {
  const say = useSay();
  const [limit, setLimit] = useState(PAGE);
  const run = useStore(session.store, (state) => `${state.run?.job} ${state.run?.state}`);
  const priority = useStore(session.store, (state) => state.priority);
  const { client } = session;
  const { value, again } = useWatched(session, async (signal) => {
    const [page, waiting, queue] = await Promise.all([
      client.call("GET /jobs", { query: { limit, order: "newest" }, signal }),
      client.call("GET /jobs", { query: { state: "queued", order: "queue", limit: PAGE }, signal }),
      client.call("GET /queue", { signal }),
    ]);
    return { page, waiting, queue };
  }, EVERY_MS, `${limit} ${run}`);
  const act = (work: Promise<unknown>) => void work
    .catch((error: unknown) => session.tell(error))
    .finally(again);
  if (value === null) return <p className="p-3 text-quiet">{say("app.loading")}</p>;
  const { page, waiting, queue } = value;
  const order = new Map(waiting.jobs.map((job, place) => [job.id, place]));
  const now = page.jobs.filter((job) => !ENDED.has(job.state) && !order.has(job.id));
  const past = page.jobs.filter((job) => ENDED.has(job.state));
  return (
    <div className="flex flex-col">
      <div className="flex flex-wrap items-center gap-1 p-2">
        <button type="button" className={PLAIN_BUTTON} onClick={() => act(client.call(queue.paused ? "POST /queue/resume" : "POST /queue/pause", {}))}>
          {queue.paused ? <Play size={14} /> : <Pause size={14} />}{say(queue.paused ? "queue.resume" : "queue.pause")}
        </button>
        <button type="button" className={PLAIN_BUTTON} disabled={waiting.total === 0} onClick={() => act(client.call("POST /queue/clear", {}))}>{say("queue.clear")}</button>
        <button type="button" className={PLAIN_BUTTON} disabled={past.length === 0} onClick={() => act(client.call("DELETE /history", {}))}>{say("queue.forget")}</button>
      </div>
      <label className="flex items-center gap-2 px-3 pb-2 text-quiet" title={say("queue.priorityHint")}>
        <span className="flex-1">{say("queue.priorityNext")}</span>
        <PriorityField label={say("queue.priorityNext")} value={priority} onChange={(next) => session.store.setState({ priority: next })} />
      </label>
      {page.total === 0 && <Empty>{say("queue.empty")}</Empty>}
      <ol aria-label={say("rail.queue")}>
        {[...now, ...waiting.jobs, ...past].map((job) => (
          <JobRow key={job.id} session={session} job={job} act={act} waiting={waiting.jobs} />
        ))}
      </ol>
      {page.total > page.jobs.length && (
        <button type="button" className={`${PLAIN_BUTTON} m-2`} onClick={() => setLimit(limit + PAGE)}>{say("queue.more")}</button>
      )}
    </div>
  );
}

interface RowProps {
  readonly session: Session;
  readonly job: Job;
  readonly act: (work: Promise<unknown>) => void;
  /** The jobs that wait, the one that runs next first. */
  readonly waiting: readonly Job[];
}

function JobRow({ session, job, act, waiting }: RowProps) {
  const say = useSay();
  const at = waiting.indexOf(job);
  const [first, previous, next] = [waiting[0] ?? job, waiting[at - 1], at < 0 ? undefined : waiting[at + 1]];
  const { client } = session;
  const path = { job: job.id };
  const isEnded = ENDED.has(job.state);
  const message = isObject(job.error) && typeof job.error.message === "string" ? job.error.message : "";
  const open = async () => {
    const { extra } = await client.call("GET /jobs/{job}", { path });
    const info = isObject(extra?.extra_pnginfo) ? extra.extra_pnginfo : {};
    if (info.workflow !== undefined && isWorkflow(info.workflow)) await session.openValue(info.workflow, `#${job.number}`);
    else session.say(say("gallery.noGraph"), true);
  };
  return (
    <li className="group flex items-start gap-2 border-t border-line px-3 py-2">
      <div className="min-w-0 flex-1">
        <p className="flex items-baseline gap-2">
          <span className={`font-medium ${COLORS[job.state] ?? ""}`}>{say(`state.${job.state}`)}</span>
          <span className="text-quiet">#{job.number}</span>
          <span className="ml-auto text-xs text-quiet tabular-nums">{durationOf(job, say)}</span>
        </p>
        <p className="text-xs text-quiet">
          {new Date(job.created_s * 1000).toLocaleTimeString()}
          {isEnded && ` · ${say("queue.facts", { ran: job.ran.length, cached: job.cached.length })}`}
          {job.priority !== 0 && job.state !== "queued" && ` · ${say("queue.priority")} ${job.priority}`}
        </p>
        {message !== "" && <p className="mt-1 text-xs break-words text-danger">{message}</p>}
        {isEnded && job.ran.length > 0 && <JobMemory session={session} job={job.id} />}
        <div className="-ml-2 flex">
          <IconButton label={say("queue.open")} onClick={() => act(open())}><SquareArrowOutUpRight size={14} /></IconButton>
          {previous !== undefined && (
            <IconButton label={say("queue.earlier")} onClick={() => act(client.call("POST /jobs/{job}/move", { path, body: { before: previous.id } }))}>
              <ArrowUp size={14} />
            </IconButton>
          )}
          {next !== undefined && (
            <IconButton label={say("queue.later")} onClick={() => act(client.call("POST /jobs/{job}/move", { path: { job: next.id }, body: { before: job.id } }))}>
              <ArrowDown size={14} />
            </IconButton>
          )}
          {job.state === "queued" && job.id !== first.id && (
            <IconButton label={say("queue.front")} onClick={() => act(client.call("POST /jobs/{job}/move", { path, body: toFront(job, first) }))}>
              <ArrowUpToLine size={14} />
            </IconButton>
          )}
          {isEnded
            ? <>
                <IconButton label={say("queue.retry")} onClick={() => act(client.call("POST /jobs/{job}/requeue", { path }))}><RotateCcw size={14} /></IconButton>
                <IconButton label={say("queue.remove")} onClick={() => act(client.call("DELETE /jobs/{job}", { path }))}><Trash2 size={14} /></IconButton>
              </>
            : <IconButton label={say("queue.cancel")} disabled={job.cancel_requested} onClick={() => act(client.call("POST /jobs/{job}/cancel", { path }))}><Square size={14} /></IconButton>}
          {job.state === "queued" && (
            <label className="my-auto ml-auto flex items-center gap-2 text-xs text-quiet" title={say("queue.priorityHint")}>
              {say("queue.priority")}
              <PriorityField
                label={say("queue.priorityOf", { number: job.number })} value={job.priority}
                onChange={(next) => act(client.call("POST /jobs/{job}/move", { path, body: { priority: next } }))}
              />
            </label>
          )}
        </div>
      </div>
    </li>
  );
}

/** Before the job that runs next: with its priority too where one's own is lower. */
function toFront(job: Job, first: Job): { readonly front: true; readonly priority?: number } {
  return first.priority > job.priority ? { front: true, priority: first.priority } : { front: true };
}

function durationOf(job: Job, say: Say): string {
  if (job.started_s === null) return "";
  return durationText((job.finished_s ?? Date.now() / 1000) - job.started_s, say);
}

interface PriorityProps {
  readonly label: string;
  readonly value: number;
  readonly onChange: (value: number) => void;
}

/** A whole number that is taken when it is left or Enter is pressed, so that a half-typed one moves nothing. */
function PriorityField({ label, value, onChange }: PriorityProps) {
  const take = (field: HTMLInputElement) => {
    const next = Math.min(MAX_PRIORITY, Math.max(-MAX_PRIORITY, Math.round(Number(field.value)) || 0));
    field.value = String(next);
    if (next !== value) onChange(next);
  };
  return (
    <input
      key={value} type="number" min={-MAX_PRIORITY} max={MAX_PRIORITY} step={1} defaultValue={value} aria-label={label} title={label}
      className="w-16 rounded-md border border-line bg-canvas px-1.5 py-0.5 text-center text-sm text-text tabular-nums hover:border-quiet"
      onBlur={(event) => take(event.currentTarget)}
      onKeyDown={(event) => event.key === "Enter" && take(event.currentTarget)}
    />
  );
}
