/** What a job of this session has come to, from its events. */

import { isObject } from "../model/json";
import type { OpenDocument } from "../model/open_document";
import type { NodeId } from "../model/records";
import { picturesOf, type RunPreview } from "../model/run_facts";
import type { Job } from "../server/api_types";
import type { JobEvent } from "../server/job_events";

/** A job of this session and the document it came from. */
export interface RunState {
  readonly job: string;
  readonly document: OpenDocument;
  /** What the workflow was called when it was run; "" for nothing yet. */
  readonly name: string;
  readonly state: "waiting" | "running" | "ended";
  /** How it ended; null before. */
  readonly end: Job["state"] | null;
  readonly node: NodeId | null;
  readonly progress: number | null;
  /** What went wrong, in the server's words. */
  readonly message: string;
  readonly pictures: readonly string[];
  /** The newest unfinished picture; null once the job has ended. */
  readonly preview: RunPreview | null;
}

export function newRun(job: string, document: OpenDocument, name = ""): RunState {
  return { job, document, name, state: "waiting", end: null, node: null, progress: null, message: "", pictures: [], preview: null };
}

export function afterEvent(run: RunState, event: JobEvent): RunState {
  const { kind, data } = event;
  const node = typeof data.display === "string" ? data.display : typeof data.node === "string" ? data.node : null;
  switch (kind) {
    case "job_started":
      return { ...run, state: "running" };
    case "node_started":
      return { ...run, state: "running", node, progress: null };
    case "node_progress": {
      const [value, max] = [Number(data.value), Number(data.max)];
      return { ...run, node, progress: max > 0 ? value / max : null };
    }
    case "outputs_placed": case "node_finished":
      return { ...run, pictures: [...new Set([...run.pictures, ...picturesOf(data.files)])] };
    case "node_preview":
      return { ...run, preview: { job: run.job, node: String(data.node), atS: event.time_s } };
    case "job_requeued":
      return { ...run, state: "waiting", end: null, node: null, progress: null, message: "", preview: null };
    case "job_succeeded": case "job_failed": case "job_cancelled": case "job_quarantined": {
      const error = isObject(data.error) ? data.error : {};
      const message = typeof error.message === "string" ? error.message : "";
      const end = kind.slice("job_".length) as Job["state"];
      return { ...run, state: "ended", end, node: null, progress: null, preview: null, message };
    }
    default:
      return run;
  }
}
