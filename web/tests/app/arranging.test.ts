import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { perform, type Desk } from "../../src/app/commands";
import { Scene } from "../../src/geometry/scene";
import { setTitle } from "../../src/model/node_edits";
import { positionOf } from "../../src/model/node_reading";
import { ROOT } from "../../src/model/records";
import { selectionOf } from "../../src/model/selection";
import { FakeServer } from "../fake_server";
import { referenceCatalog } from "../reference_catalog";

const PLACES = { "1": [0, 0], "2": [700, 100], "3": [500, 300], "4": [900, 900], "5": [-300, 600] };
const SPACE = 1000;

interface Order {
  readonly id: number;
  readonly graph?: { readonly children: readonly { readonly id: string }[] };
}

/** What was laid out, and who is told when an engine is done. */
const asked: string[][] = [];
let done: () => void = () => undefined;

/** The worker of the layout engine, as far as the page speaks with it: puts what it gets in one row. */
class RowEngine {
  onmessage: (answer: { readonly data: unknown }) => void = () => undefined;

  postMessage({ id, graph }: Order): void {
    const ids = graph?.children.map((child) => child.id) ?? [];
    if (graph !== undefined) asked.push(ids);
    this.onmessage({ data: { id, data: { children: ids.map((child, i) => ({ id: child, x: i * SPACE, y: 0 })) } } });
  }

  terminate(): void {
    setTimeout(done);
  }
}

describe("arranging", () => {
  beforeEach(() => {
    vi.stubGlobal("Worker", RowEngine);
    asked.splice(0);
  });
  afterAll(() => void vi.unstubAllGlobals());

  async function opened(selected: readonly string[], pinned = "") {
    const { session } = new FakeServer();
    session.store.setState({ catalog: referenceCatalog() });
    const nodes = Object.entries(PLACES).map(([id, pos]) => ({
      id: Number(id), type: "VAEDecode", pos, size: [200, 60], flags: id === pinned ? { pinned: true } : {},
    }));
    await session.openValue({ version: 0.4, nodes, links: [] });
    const { open } = session.store.getState();
    open.select(selectionOf({ nodes: selected }));
    const scene = new Scene(session.contextOf(open.document), ROOT);
    const desk: Desk = { session, scene, size: { width: 800, height: 600 }, viewport: { x: 0, y: 0, zoom: 1 }, corner: 0 };
    const places = () => Object.fromEntries([...open.graph.nodes.byId].map(([id, node]) => [id, [positionOf(node).x, positionOf(node).y]]));
    const arrange = (meanwhile: () => void = () => undefined) => new Promise<void>((then) => {
      done = then;
      perform("arrange", desk);
      meanwhile();
    });
    return { open, places, arrange };
  }

  it("a selection moves the selected nodes alone, from their corner on, as one step of undo", async () => {
    const { open, places, arrange } = await opened(["2", "3", "4"]);
    await arrange();
    expect(asked).toEqual([["2", "3", "4"]]);
    expect(places()).toEqual({ ...PLACES, "2": [500, 100], "3": [1500, 100], "4": [2500, 100] });
    expect(open.history.done.length).toBe(1);
    open.undo();
    expect(places()).toEqual(PLACES);
  });

  it("a pinned node stays where it is, selected or not", async () => {
    for (const selected of [["2", "3", "4"], []]) {
      const { places, arrange } = await opened(selected, "3");
      await arrange();
      expect(asked.pop()).toEqual(selected.length > 0 ? ["2", "4"] : ["1", "2", "4", "5"]);
      expect(places()["3"]).toEqual(PLACES["3"]);
    }
  });

  it("one node, which has no order of its own, arranges the whole graph", async () => {
    const { places, arrange } = await opened(["2"]);
    await arrange();
    expect(asked).toEqual([Object.keys(PLACES)]);
    expect(Object.values(places())).toEqual([[-300, 0], [700, 0], [1700, 0], [2700, 0], [3700, 0]]);
  });

  it("what somebody has changed meanwhile moves nothing", async () => {
    const { open, places, arrange } = await opened(["2", "3"]);
    await arrange(() => open.edit("Title", (edit) => setTitle(edit, ROOT, "1", "Mine")));
    expect([asked.length, places(), open.history.done.map(({ label }) => label)]).toEqual([1, PLACES, ["Title"]]);
  });
});
