import { expect, it } from "vitest";
import { Session } from "../../src/app/session";
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
