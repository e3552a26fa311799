/** The events of a job: from any number on, then live, across broken connections, each numbered one exactly once. */

import { parseJson } from "../model/json_text";
import { isObject, type JsonObject } from "../model/json";
import { ServerError, urlOf, type Client } from "./client";

export interface JobEvent {
  readonly job: string;
  /** 0 for live events that are not stored, such as progress. */
  readonly seq: number;
  readonly kind: string;
  readonly data: JsonObject;
  readonly time_s: number;
}

/** How a job ended. */
export const LAST_EVENTS: ReadonlySet<string> = new Set([
  "job_succeeded", "job_failed", "job_cancelled", "job_quarantined",
]);

export interface Following {
  readonly after?: number;
  readonly signal: AbortSignal;
  /** Waits before the connection is tried again; a test passes its own. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Told when the stream is lost and when it is there again. */
  readonly onConnection?: (isThere: boolean) => void;
}

const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 15_000;

/** Yields events until the job has ended or `signal` aborts. Raises ServerError when the server knows no such job. */
export async function* followJob(client: Client, job: string, options: Following): AsyncGenerator<JobEvent, void> {
  const wait = options.wait ?? pause;
  let last = options.after ?? 0;
  let waitMs = FIRST_WAIT_MS;
  while (!options.signal.aborted) {
    try {
      for await (const event of streamOnce(client, job, last, options)) {
        waitMs = FIRST_WAIT_MS;
        if (event.seq !== 0 && event.seq <= last) continue;
        last = Math.max(last, event.seq);
        yield event;
        if (LAST_EVENTS.has(event.kind)) return;
      }
    } catch (error) {
      if (options.signal.aborted) return;
      if (error instanceof ServerError && error.status < 500 && error.status !== 429) throw error;
    }
    options.onConnection?.(false);
    await wait(waitMs, options.signal);
    waitMs = Math.min(MAX_WAIT_MS, waitMs * 2);
  }
}

async function* streamOnce(
  client: Client, job: string, after: number, options: Following,
): AsyncGenerator<JobEvent, void> {
  const headers = { Accept: "text/event-stream", "Last-Event-ID": String(after) };
  const response = await client.send(urlOf("/jobs/{job}/events", { job }, {}), { headers, signal: options.signal });
  options.onConnection?.(true);
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new FrameParser();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      for (const data of parser.push(part.value)) {
        const event = eventOf(data);
        if (event !== null) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Cuts a stream of server-sent events into the data of whole frames. */
export class FrameParser {
  private rest = "";

  push(text: string): string[] {
    const frames = (this.rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.rest = frames.pop() ?? "";
    return frames.flatMap((frame) => {
      const lines = frame.split("\n").filter((line) => line.startsWith("data:"));
      return lines.length === 0 ? [] : [lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n")];
    });
  }
}

function eventOf(data: string): JobEvent | null {
  const value = parseJson(data);
  if (!isObject(value) || typeof value.kind !== "string" || typeof value.job !== "string") return null;
  return {
    job: value.job,
    seq: typeof value.seq === "number" ? value.seq : 0,
    kind: value.kind,
    data: isObject(value.data) ? value.data : {},
    time_s: typeof value.time_s === "number" ? value.time_s : 0,
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
