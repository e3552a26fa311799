import { expect, it } from "vitest";
import { Session } from "../../src/app/session";
import { setTitle } from "../../src/model/node_edits";
import { Client } from "../../src/server/client";
import { referenceCatalog } from "../reference_catalog";

const COMPLAINTS = [{ message: "The graph has faults." }, { node: "2", input: "steps", message: "Too many." }, { node: "1", message: "Also." }];

it("a run that is refused leads to the first node that is wrong", async () => {
  const record = { code: "invalid_graph", message: "No.", details: { complaints: COMPLAINTS } };
  const json = { headers: { "Content-Type": "application/json" } };
  const client = new Client((url) => Promise.resolve(url.endsWith("/jobs")
    ? new Response(JSON.stringify({ error: record }), { ...json, status: 400 }) : new Response("{}", json)));
  const session = new Session(client, { nowMs: () => 0, random: () => 0.5 });
  session.store.setState({ catalog: referenceCatalog() });
  const nodes = [1, 2].map((id) => ({ id, type: "EmptyLatentImage", pos: [0, 0], widgets_values: [64, 64, 1] }));
  await session.openValue({ version: 0.4, nodes, links: [] });
  const shown: string[] = [];
  const middle = () => ({ x: 0, y: 0 });
  session.desk = { perform: () => undefined, showNode: (id) => shown.push(id), placeAt: middle, middle, showMap: () => () => undefined };
  await session.run();
  expect(shown).toEqual(["2"]);
  expect(session.store.getState().problems.map((item) => item.node)).toEqual([null, "2", "1"]);
});

const FAILED = { kind: "job_failed", seq: 1, job: "j", data: { error: { message: "No.", node: "2" } } };

/** Where the page is led when a job fails whose person did something meanwhile. */
async function ledTo(meanwhile: (session: Session, look: (x: number) => void) => void): Promise<readonly string[]> {
  const json = { headers: { "Content-Type": "application/json" } };
  let fail: () => void = () => undefined;
  const failing = new Promise<Response>((resolve) => {
    fail = () => resolve(new Response(`data: ${JSON.stringify(FAILED)}\n\n`));
  });
  const client = new Client((url) => (url.includes("/events") ? failing
    : Promise.resolve(new Response(JSON.stringify(url.endsWith("/jobs") ? { job: { id: "j" }, complaints: [] } : { reasons: {} }), json))));
  const session = new Session(client, { nowMs: () => 0, random: () => 0.5 });
  session.store.setState({ catalog: referenceCatalog() });
  await session.openValue({ version: 0.4, nodes: [{ id: 2, type: "EmptyLatentImage", pos: [0, 0], widgets_values: [64, 64, 1] }], links: [] });
  const shown: string[] = [];
  let x = 0;
  const middle = () => ({ x, y: 0 });
  session.desk = { perform: () => undefined, showNode: (id) => shown.push(id), placeAt: middle, middle, showMap: () => () => undefined };
  await session.run();
  meanwhile(session, (next) => void (x = next));
  fail();
  await expect.poll(() => session.store.getState().problems.map((item) => item.node)).toEqual(["2"]);
  return shown;
}

it("a job that fails leads to the node that failed, unless somebody has moved on since", async () => {
  expect(await ledTo(() => undefined)).toEqual(["2"]);
  expect(await ledTo((_, look) => look(900))).toEqual([]);
  expect(await ledTo(({ store }) => store.getState().open.edit("x", (edit) => setTitle(edit, "", "2", "Mine")))).toEqual([]);
  expect(await ledTo((session) => session.newTab())).toEqual([]);
});
