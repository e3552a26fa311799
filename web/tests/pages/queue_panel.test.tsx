// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, it } from "vitest";
import QueuePanel from "../../src/panels/queue_panel";
import type { Job } from "../../src/server/api_types";
import { FakeServer } from "../fake_server";

afterEach(cleanup);

function job(id: string, state: Job["state"], more: Partial<Job> = {}): Job {
  return {
    id, state, number: Number(id), priority: 0, client_id: null, targets: [], alone: false, attempts: 0, cancel_requested: false,
    worker: null, created_s: 1, started_s: null, finished_s: null, error: null, outputs: {}, ran: [], cached: [], crashes: [], ...more,
  };
}

function shown(jobs: readonly Job[], isPaused = false) {
  const waiting = jobs.filter(({ state }) => state === "queued");
  const page = (found: readonly Job[]) => ({ jobs: found, total: found.length });
  const server = new FakeServer()
    .on("GET /jobs", ({ query }) => page(query.get("state") === "queued" ? waiting : jobs))
    .on("GET /queue", () => ({ pending: waiting.length, running: 0, paused: isPaused }));
  for (const { id } of jobs) {
    for (const act of ["move", "requeue", "cancel"]) server.on(`POST /jobs/${id}/${act}`, () => job(id, "queued"));
  }
  for (const act of ["pause", "resume"]) server.on(`POST /queue/${act}`, () => ({}));
  render(<QueuePanel session={server.session} />);
  return server;
}

const press = async (name: string | RegExp, at = 0) =>
  userEvent.click((await screen.findAllByRole("button", { name }))[at] as HTMLElement);

describe("the queue panel", () => {
  it("pauses a queue that runs and resumes one that is paused", async () => {
    const running = shown([]);
    await press("Pause");
    await waitFor(() => expect(running.changes).toEqual([["POST /queue/pause", null]]));
    cleanup();
    const paused = shown([], true);
    await press("Resume");
    await waitFor(() => expect(paused.changes).toEqual([["POST /queue/resume", null]]));
  });

  it("moves a waiting job to the front, but for the one that is there", async () => {
    const server = shown([job("1", "queued"), job("2", "queued")]);
    await press("Move to the front");
    await waitFor(() => expect(server.changes).toEqual([["POST /jobs/2/move", { front: true }]]));
  });

  it("moves a waiting job one place earlier or later", async () => {
    const server = shown([job("1", "queued", { priority: 4 }), job("2", "queued"), job("3", "queued"), job("4", "running")]);
    await press("One place earlier", 1);
    await press("One place later", 0);
    await waitFor(() => expect(server.changes).toEqual([["POST /jobs/3/move", { before: "2" }], ["POST /jobs/2/move", { before: "1" }]]));
    expect([screen.getAllByRole("button", { name: "One place earlier" }).length, screen.getAllByRole("button", { name: "One place later" }).length])
      .toEqual([2, 2]);
  });

  it("gives a job that goes to the front the priority it needs there", async () => {
    const server = shown([job("1", "queued", { priority: 9 }), job("2", "queued")]);
    await press("Move to the front");
    await waitFor(() => expect(server.changes).toEqual([["POST /jobs/2/move", { front: true, priority: 9 }]]));
  });

  it("runs a job again that has failed, and says what went wrong with it", async () => {
    const server = shown([job("3", "failed", { error: { message: "<b>Out of memory</b>" } })]);
    expect(await screen.findByText("<b>Out of memory</b>")).toBeTruthy();
    await press("Run again");
    await waitFor(() => expect(server.changes).toEqual([["POST /jobs/3/requeue", null]]));
  });

  it("tells what a job's nodes held, the most first, and asks only when it is wanted", async () => {
    const server = shown([job("4", "succeeded", { ran: ["7", "8"] })]);
    const stats = { node_bytes: { 7: 2_000_000, 8: 3_000_000_000 }, memory: { devices: [{ device: "cpu", resident_bytes: 5e6, budget_bytes: 9e9, networks: [] }] } };
    const prompt = { 7: { class_type: "Blur" }, 8: { class_type: "KSampler", _meta: { title: "<b>Paint</b>" } } };
    server.on("GET /jobs/4", () => job("4", "succeeded", { stats, prompt }));
    const summary = await screen.findByText("Memory");
    expect(server.asked.some(({ path }) => path === "/jobs/4")).toBe(false);
    await userEvent.click(summary);
    expect(await screen.findByText("At most 3.0 GB")).toBeTruthy();
    const items = within(screen.getByRole("list", { name: "What each node held at its peak" })).getAllByRole("listitem");
    expect(items.map((item) => item.textContent)).toEqual(["<b>Paint</b>3.0 GB", "Blur2 MB"]);
    expect(screen.getByText("cpu: 5 MB of 9.0 GB in use after the job")).toBeTruthy();
  });

  it("gives a waiting job another priority when the number is left, and asks for no more than there is", async () => {
    const server = shown([job("1", "queued", { priority: 2 })]);
    const field = await screen.findByRole("spinbutton", { name: "Priority of job 1" });
    expect((field as HTMLInputElement).value).toBe("2");
    fireEvent.change(field, { target: { value: "50000" } });
    expect(server.changes).toEqual([]);
    fireEvent.blur(field);
    await waitFor(() => expect(server.changes).toEqual([["POST /jobs/1/move", { priority: 1000 }]]));
  });

  it("says which priority the next runs have, and a run carries it with the name of its workflow", async () => {
    const server = shown([]);
    fireEvent.change(await screen.findByRole("spinbutton"), { target: { value: "7" } });
    fireEvent.keyDown(screen.getByRole("spinbutton"), { key: "Enter" });
    expect(server.session.store.getState().priority).toBe(7);
    await server.session.openValue({ nodes: [], links: [], version: 0.4 }, "Boats");
    await server.session.run(true);
    const [[, body]] = server.changes as [readonly [string, { priority: number; front: boolean; extra: { workflow_name: string } }]];
    expect([body.priority, body.front, body.extra.workflow_name]).toEqual([7, true, "Boats"]);
  });
});
