import { expect, it } from "vitest";
import { missingIn } from "../../src/files/missing";
import { FakeServer } from "../fake_server";
import { referenceCatalog } from "../reference_catalog";

const LOADER = "CheckpointLoaderSimple";
const FILE = {
  version: 0.4, last_node_id: 1, last_link_id: 0, links: [], groups: [],
  nodes: [{ id: 1, type: LOADER, pos: [0, 0], size: [200, 100], inputs: [], outputs: [], widgets_values: ["there.safetensors"] }],
};

it("a workflow that was opened before the node types had come has its files when they come", async () => {
  let nodes: Record<string, unknown> = {};
  const server = new FakeServer()
    .on("GET /catalog", () => ({ digest: "x", nodes }))
    .on("GET /workflows", () => [])
    .on(`GET /catalog/nodes/${LOADER}/choices`, () => ({ ckpt_name: ["there.safetensors"] }));
  const { session } = server;
  await session.start(null);
  await session.openValue(FILE);
  nodes = { [LOADER]: referenceCatalog().get(LOADER) };
  await session.start(null);
  const { open, catalog } = session.store.getState();
  expect(missingIn(open.document, catalog, session.files.list)).toEqual({ types: [], files: [] });
});

it("a page that asks for the node types again waits for the answer it is waiting for already", async () => {
  const server = new FakeServer().on("GET /catalog", () => ({ digest: "x", nodes: {} })).on("GET /workflows", () => []);
  const asked = () => server.asked.filter(({ path }) => path === "/catalog").length;
  await Promise.all([server.session.start(null), server.session.start(null)]);
  expect(asked()).toBe(1);
  await server.session.start(null);
  expect(asked()).toBe(2);
});
