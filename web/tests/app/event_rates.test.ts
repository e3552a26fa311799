import { expect, it } from "vitest";
import { Session } from "../../src/app/session";
import { Client } from "../../src/server/client";
import { referenceCatalog } from "../reference_catalog";

const TICK_MS = 5;
const NODE = "2";
const SAID = [
  { kind: "job_started", seq: 1 },
  ...["1", NODE].map((node, i) => ({ kind: "node_started", seq: 2 + i, data: { node } })),
  // Three seconds of a picture and a step of progress in turn.
  ...Array.from({ length: 3000 / TICK_MS }, (_, i) => ({ kind: i % 2 === 0 ? "node_progress" : "node_preview", seq: 0, data: { node: NODE, value: i, max: 1000 } })),
  { kind: "node_finished", seq: 4, data: { node: NODE } },
  { kind: "job_succeeded", seq: 5 },
];

/** When events of each kind reached the document, each of which comes a tick after the one before. */
async function arrivals(): Promise<ReadonlyMap<string, readonly number[]>> {
  const stream = SAID.map((event, i) => `data: ${JSON.stringify({ job: "j", data: {}, time_s: i, ...event })}\n\n`).join("");
  const answer = (url: string) => JSON.stringify(url.endsWith("/jobs") ? { job: { id: "j" }, complaints: [] } : { reasons: {} });
  const client = new Client((url) => Promise.resolve(url.includes("/events") ? new Response(stream)
    : new Response(answer(url), { headers: { "Content-Type": "application/json" } })));
  let now = 0;
  const session = new Session(client, { nowMs: () => (now += TICK_MS), random: () => 0.5 });
  session.store.setState({ catalog: referenceCatalog() });
  const nodes = [1, 2].map((id) => ({ id, type: "EmptyLatentImage", pos: [0, 0], widgets_values: [64, 64, 1] }));
  await session.openValue({ version: 0.4, nodes, links: [] });
  const found = new Map<string, number[]>();
  const ended = new Promise<void>((done) => session.board.subscribe((_document, _before, _after, kind) => {
    found.set(kind, [...(found.get(kind) ?? []), now]);
    if (kind === "job_succeeded") done();
  }));
  await session.run();
  await ended;
  return found;
}

it("ten steps of progress and four pictures a second reach a document, however many come, and all that counts", async () => {
  const found = await arrivals();
  const times = (kind: string) => found.get(kind) ?? [];
  const most = (kind: string) => Math.max(...times(kind).map((from) => times(kind).filter((at) => at >= from && at < from + 1000).length));
  expect([most("node_progress"), most("node_preview")]).toEqual([10, 4]);
  expect([times("node_progress").length, times("node_preview").length]).toEqual([30, 12]);
  expect(["job_started", "node_started", "node_finished", "job_succeeded"].map((kind) => times(kind).length)).toEqual([1, 2, 1, 1]);
});
