/** A grid of pictures on the server: its cells are queued as one batch and asked for together until all have ended. */

import { gridCells, type GridAxis, type GridJob, type GridRun } from "../model/grid";
import { isArray, isObject, type JsonObject } from "../model/json";
import type { Job } from "../server/api_types";
import { cancelJob, nameFor } from "../server/workflows";
import { newId } from "./new_id";
import type { Session } from "./session";
import { nameOfTab } from "./tab";

const ASK_EVERY_MS = 700;
const ENDED: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled", "quarantined"]);

export function isRunning(run: GridRun | null): boolean {
  return run !== null && run.jobs.some((job) => !ENDED.has(job.state));
}

/** Queue every cell, then follow them. Raises CompileError, ServerError and Unreachable. */
export async function runGrid(session: Session, x: GridAxis, y: GridAxis | null): Promise<void> {
  const { open, catalog, tabs } = session.store.getState();
  const name = nameFor(nameOfTab(tabs.find((tab) => tab.open === open)));
  const options = { catalog, listFiles: session.files.list, random: session.random, now: new Date() };
  const cells = gridCells(open.document, x, y, options);
  const batch = newId();
  session.grid.setState({ batch, x, y, jobs: [] }, true);
  for (const { column, row, prompt, workflow } of cells) {
    const { job } = await session.client.call("POST /jobs", {
      body: { prompt: prompt as unknown as JsonObject, extra: { extra_pnginfo: { workflow }, ...name }, id: newId(), client_id: batch },
    });
    if (session.grid.getState()?.batch !== batch) return;
    put(session, (run) => ({ ...run, jobs: [...run.jobs, { column, row, job: job.id, state: job.state, picture: null, message: "" }] }));
  }
  await follow(session, batch);
}

export async function cancelGrid(session: Session): Promise<void> {
  const waiting = session.grid.getState()?.jobs.filter((job) => !ENDED.has(job.state)) ?? [];
  await Promise.all(waiting.map((job) => cancelJob(session.client, job.job)));
}

async function follow(session: Session, batch: string): Promise<void> {
  const run = () => session.grid.getState();
  while (run()?.batch === batch && isRunning(run())) {
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    const { jobs } = await session.client.call("GET /jobs", { query: { client_id: batch, limit: run()?.jobs.length ?? 0 } });
    if (run()?.batch !== batch) return;
    const found = new Map(jobs.map((job) => [job.id, job]));
    put(session, (now) => ({ ...now, jobs: now.jobs.map((own) => afterJob(own, found.get(own.job))) }));
  }
}

function put(session: Session, change: (run: GridRun) => GridRun): void {
  const run = session.grid.getState();
  if (run !== null) session.grid.setState(change(run), true);
}

function afterJob(own: GridJob, job: Job | undefined): GridJob {
  if (job === undefined) return own;
  const message = isObject(job.error) && typeof job.error.message === "string" ? job.error.message : "";
  return { ...own, state: job.state, picture: pictureOf(job), message };
}

/** The first picture a job made. */
function pictureOf(job: Job): string | null {
  for (const output of Object.values(job.outputs)) {
    const images = isObject(output) && isArray(output.images) ? output.images : [];
    const image = images.find((item) => isObject(item) && typeof item.filename === "string");
    if (!isObject(image)) continue;
    const { filename, subfolder, type } = image;
    return `/view?${new URLSearchParams({ filename: String(filename), subfolder: String(subfolder ?? ""), type: String(type ?? "output") }).toString()}`;
  }
  return null;
}
