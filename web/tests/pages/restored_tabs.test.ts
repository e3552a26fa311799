// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from "vitest";
import { Autosave } from "../../src/app/autosave";
import { Session } from "../../src/app/session";
import type { Draft } from "../../src/files/drafts";
import { rootOf } from "../../src/model/records";
import { Client } from "../../src/server/client";
import { FakeLocks } from "../app/fake_locks";
import { FakeServer, Reply } from "../fake_server";

const flow = (...ids: number[]) => ({ nodes: ids.map((id) => ({ id, type: "Note", pos: [0, 0] })), links: [], version: 0.4 });
const draft = (order: number, name: string, ids: number[]): Draft => ({
  tab: `t${order}`, window: "gone", title: "", saved: { name, etag: '"1"' }, text: JSON.stringify(flow(...ids)), order, isChanged: true, at_ms: 0,
});
const DRAFTS = [draft(0, "boats", [1]), draft(1, "hills", [1, 2])];

/** What was shown, in its order, when the address asks for a workflow and there are drafts of boats and hills, which are read after `meanwhile`. */
async function started(wanted: string | null, meanwhile: (session: Session) => Promise<void> = () => Promise.resolve()) {
  sessionStorage.clear();
  sessionStorage.setItem("atelier-tab", "t0");
  const server = new FakeServer()
    .on("GET /workflows/lakes", () => new Reply(200, flow(1, 2, 3), { ETag: '"7"' }));
  const { session } = server;
  const seen: (string | undefined)[] = [];
  session.store.subscribe(({ saved }, before) => saved !== before.saved && seen.push(saved?.name));
  const drafts = { all: () => meanwhile(session).then(() => DRAFTS), keep: () => Promise.resolve(), snapshot: () => Promise.resolve() };
  await new Autosave(session, drafts).start(wanted);
  const { tabs, open, notice } = session.store.getState();
  return { seen, tabs: tabs.map(({ saved }) => saved?.name), num: rootOf(open.document).nodes.ids.length, isError: notice?.isError ?? false };
}

describe("a page that is opened at the address of a workflow", () => {
  beforeEach(() => void new FakeLocks().install());

  it("shows that one at once, and never a draft of another first", async () => {
    expect(await started("lakes")).toEqual({ seen: ["lakes"], tabs: ["boats", "hills", "lakes"], num: 3, isError: false });
  });
  it("shows it again when it comes back without that address", async () => {
    await started("hills");
    expect(sessionStorage.getItem("atelier-tab")).toBe("t1");
  });
  it("shows what was not saved of it", async () => {
    expect(await started("hills")).toEqual({ seen: ["hills"], tabs: ["boats", "hills"], num: 2, isError: false });
  });
  it("leaves shown what somebody has begun before they were back", async () => {
    const found = await started(null, (session) => session.openValue(flow(1, 2, 3)));
    expect(found).toEqual({ seen: [], tabs: ["boats", "hills", undefined], num: 3, isError: false });
  });
  it("says that there is none, and shows what was open; without an address that alone", async () => {
    expect(await started("seas")).toEqual({ seen: ["boats"], tabs: ["boats", "hills"], num: 1, isError: true });
    expect(await started(null)).toEqual({ seen: ["boats"], tabs: ["boats", "hills"], num: 1, isError: false });
  });
});

const event = (seq: number, kind: string, data: object = {}) => ({ job: "j", seq, kind, data, time_s: seq });
const MADE = [event(1, "job_started"), event(2, "node_started", { node: "1" }), event(3, "outputs_placed", { node: "1", files: [{ asset: "p" }] })];
const ENDED = [...MADE, event(4, "node_finished", { node: "1" }), event(5, "job_succeeded")];

/** A page that comes back to a draft whose newest job is "j", known to the server as it says. */
async function comeBack(job: object | null, events: readonly object[]) {
  sessionStorage.clear();
  const answer = (value: unknown) => new Response(JSON.stringify(value), { headers: { "Content-Type": "application/json" } });
  const stream = events.map((item) => `data: ${JSON.stringify(item)}\n\n`).join("");
  const client = new Client((url) => Promise.resolve(
    url.endsWith("/jobs/j/events") ? new Response(stream)
      : url.endsWith("/jobs/j") && job === null ? new Response("{}", { status: 404 })
        : answer(url.endsWith("/jobs/j") ? { id: "j", prompt: { "1": { inputs: { seed: 7 } } }, ...job } : { reasons: {} })));
  const session = new Session(client, { nowMs: () => 0, random: () => 0.5 });
  const kept: Draft[][] = [];
  const drafts = {
    all: () => Promise.resolve([{ ...draft(0, "boats", [1]), job: "j" }]), snapshot: () => Promise.resolve(),
    keep: (_: string, all: readonly Draft[]) => Promise.resolve(void kept.push([...all])),
  };
  const saving = new Autosave(session, drafts);
  await saving.start();
  const { open } = session.store.getState();
  return { session, open, kept, shown: () => session.board.of(open).nodes.get("1") };
}

describe("a page that comes back after a run", () => {
  beforeEach(() => void new FakeLocks().install());

  it("shows again what the run has made, and does not take it for one that runs", async () => {
    const { session, open, shown } = await comeBack({ state: "succeeded", finished_s: 9 }, ENDED);
    await expect.poll(() => shown()).toMatchObject({ state: "ran", pictures: ["p"] });
    expect(session.board.used(open, "1", "seed")).toBe(7);
    expect(session.store.getState().run).toBeNull();
  });
  it("follows one that runs still", async () => {
    const { session, shown } = await comeBack({ state: "running", finished_s: null }, MADE);
    await expect.poll(() => shown()).toMatchObject({ state: "running", pictures: ["p"] });
    expect(session.store.getState().run).toMatchObject({ job: "j", state: "running" });
  });
  it("is silent about a job the server has forgotten", async () => {
    const { session, shown } = await comeBack(null, []);
    expect(shown()).toBeUndefined();
    expect(session.store.getState().notice).toBeNull();
  });
  it("keeps the job with the draft", async () => {
    const { session, open, kept } = await comeBack(null, []);
    session.board.submitted(open, {} as never, "k");
    await expect.poll(() => kept.at(-1)?.[0]?.job, { timeout: 5000 }).toBe("k");
  });
});
