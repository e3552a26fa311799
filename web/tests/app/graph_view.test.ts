// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GraphView } from "../../src/app/graph_view";
import { Session } from "../../src/app/session";
import { grown } from "../../src/geometry/shapes";
import { visibleRect } from "../../src/geometry/viewport";
import { Edit } from "../../src/model/edit";
import { connect } from "../../src/model/link_edits";
import { addNode } from "../../src/model/node_edits";
import { positionOf } from "../../src/model/node_reading";
import { ROOT } from "../../src/model/records";
import { emptyWorkflow, saveWorkflow } from "../../src/model/workflow_file";
import { Client } from "../../src/server/client";
import { NO_FILES, referenceCatalog } from "../reference_catalog";
import { fakeHost } from "./fake_stage";

const answered = () => Promise.resolve(new Response("{}", { headers: { "Content-Type": "application/json" } }));
const frames = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((done) => requestAnimationFrame(done));
};

/** 36 nodes, six in a row, each linked to the next. */
function workflow() {
  const edit = new Edit(emptyWorkflow());
  for (let i = 0; i < 36; i++) {
    addNode(edit, ROOT, "LatentUpscale", { x: (i % 6) * 300, y: Math.floor(i / 6) * 300 }, referenceCatalog(), NO_FILES);
    if (i > 0) connect(edit, ROOT, { node: String(i), slot: 0 }, { node: String(i + 1), slot: 0 });
  }
  return saveWorkflow(edit.document());
}

describe("the canvas", () => {
  let session: Session;
  let view: GraphView;
  let host: HTMLElement;

  beforeEach(async () => {
    session = new Session(new Client(answered), { nowMs: () => performance.now(), random: () => 0.5 });
    session.store.setState({ catalog: referenceCatalog() });
    await session.openValue(workflow());
    host = fakeHost();
    view = new GraphView(host, session);
    await frames(3);
    view.viewport = { x: -20, y: -60, zoom: 1 };
    await frames(12);
  });
  afterEach(() => {
    view.close();
    host.remove();
  });

  const open = () => session.store.getState().open;
  const point = (type: string, x: number, y: number, button = 0) =>
    host.dispatchEvent(new PointerEvent(type, { clientX: x, clientY: y, button, pointerId: 1, pointerType: "mouse", bubbles: true }));
  const progress = (node: string, value: number) =>
    session.board.take(open(), { job: "j", seq: 0, kind: "node_progress", data: { node, value, max: 20 }, time_s: value });

  it("mounts bodies for what is near and draws nothing while nothing happens", async () => {
    expect(host.querySelectorAll(".node").length).toBe(view.bodies.mounted.size);
    expect(view.bodies.mounted.size).toBeGreaterThan(8);
    const before = [view.numDraws, view.numOverlayDraws, view.bodies.numMounts];
    await frames(10);
    expect([view.numDraws, view.numOverlayDraws, view.bodies.numMounts]).toEqual(before);
  });

  it("draws progress once, on its own layer, and only where it is seen", async () => {
    session.board.take(open(), { job: "j", seq: 1, kind: "node_started", data: { node: "1" }, time_s: 0 });
    await frames(2);
    const before = [view.numDraws, view.numOverlayDraws, view.bodies.numMounts] as const;
    progress("1", 4);
    progress("1", 5);
    await frames(2);
    expect([view.numDraws, view.numOverlayDraws]).toEqual([before[0], before[1] + 1]);
    progress("36", 5);
    await frames(2);
    expect([view.numOverlayDraws, view.bodies.numMounts]).toEqual([before[1] + 1, before[2]]);
  });

  it("shows an unfinished picture in the body of its node alone, and only where it is seen", async () => {
    const pictures = () => [...host.querySelectorAll<HTMLImageElement>(".node-preview img")].map((item) => item.src.replace(/.*api/, ""));
    const preview = (node: string, time_s: number) =>
      session.board.take(open(), { job: "j", seq: 0, kind: "node_preview", data: { node }, time_s });
    session.board.take(open(), { job: "j", seq: 1, kind: "node_started", data: { node: "1" }, time_s: 0 });
    await frames(2);
    const before = [view.numDraws, view.numOverlayDraws, view.bodies.numMounts];
    preview("1", 4);
    preview("36", 4);
    await frames(2);
    expect(pictures()).toEqual(["/v1/jobs/j/previews/1?at=4"]);
    expect([view.numDraws, view.numOverlayDraws, view.bodies.numMounts]).toEqual(before);
    session.board.take(open(), { job: "j", seq: 2, kind: "job_succeeded", data: {}, time_s: 5 });
    await frames(2);
    expect(pictures()).toEqual([]);
  });

  it("makes one edit of a drag, however often the pointer moves, and mounts nothing anew", async () => {
    let numEdits = 0;
    const end = open().subscribe((event) => event.kind === "edit" && (numEdits += 1));
    const mounts = view.bodies.numMounts;
    const [x, y] = [20 + 60, 60 - 15];
    point("pointerdown", x, y);
    for (let i = 1; i <= 20; i++) {
      point("pointermove", x + 4 * i, y + 4 * i);
      if (i % 5 === 0) await frames(1);
    }
    expect(numEdits).toBe(0);
    point("pointerup", x + 80, y + 80);
    await frames(3);
    end();
    expect(numEdits).toBe(1);
    expect(positionOf(open().graph.nodes.byId.get("1") ?? {}).x).not.toBe(0);
    expect(view.bodies.numMounts).toBe(mounts);
  });

  it("mounts at most one body a frame while panning", async () => {
    point("pointerdown", 600, 400, 1);
    let most = 0;
    for (let i = 1; i <= 12; i++) {
      const before = view.bodies.numMounts;
      point("pointermove", 600 - 30 * i, 400 - 30 * i, 1);
      await frames(1);
      most = Math.max(most, view.bodies.numMounts - before);
    }
    point("pointerup", 240, 40, 1);
    expect(most).toBeLessThanOrEqual(1);
  });

  it("draws no body that is out of sight, however many are kept while panning", async () => {
    point("pointerdown", 600, 400, 1);
    for (let i = 1; i <= 30; i++) {
      point("pointermove", 600 - 20 * i, 400, 1);
      await frames(1);
    }
    const drawn = [...host.querySelectorAll<HTMLElement>(".node")].filter((item) => item.style.contentVisibility !== "hidden");
    const seen = new Set(view.scene.visible(grown(visibleRect(view.viewport, view.size), 24)).nodes);
    expect(drawn.length).toBeLessThan(view.bodies.mounted.size);
    expect(drawn.map((item) => String(item.dataset.node)).filter((id) => !seen.has(id))).toEqual([]);
    point("pointerup", 0, 400, 1);
  });

  it("shows a changed widget at once and keeps the text field that has the keyboard", async () => {
    const field = host.querySelector<HTMLInputElement>("[data-node='1'] .field-number");
    expect(field?.value).toBe("512");
    open().edit("x", (edit) => {
      const node = edit.get(ROOT, "nodes", "1");
      if (node !== undefined) edit.put(ROOT, "nodes", "1", { ...node, widgets_values: ["nearest-exact", 768, 512, "disabled"] });
    });
    await frames(1);
    expect([field?.isConnected, field?.value]).toEqual([true, "768"]);
  });

  it("draws the map when the graph has changed; while the picture moves only the frame follows", async () => {
    const corner = document.createElement("div");
    const end = session.desk?.showMap(corner);
    await frames(2);
    const frame = corner.querySelector(".map-frame") as HTMLElement;
    const [draws, place] = [view.map?.numDraws, frame.style.transform];
    expect(draws).toBe(1);
    view.viewport = { ...view.viewport, x: 500 };
    await frames(2);
    expect([view.map?.numDraws, frame.style.transform === place]).toEqual([1, false]);
    const setValue = (key: string, value: unknown) => open().edit("x", (edit) => edit.put(ROOT, "nodes", "1", { ...edit.get(ROOT, "nodes", "1"), [key]: value } as never));
    setValue("title", "Another");
    await frames(2);
    expect(view.map?.numDraws).toBe(1);
    setValue("pos", [-300, 40]);
    await frames(2);
    expect(view.map?.numDraws).toBe(2);
    await frames(10);
    expect(view.map?.numDraws).toBe(2);
    end?.();
    expect([view.map, corner.childElementCount]).toEqual([null, 0]);
  });

  it("moves with the keys of the map", async () => {
    const corner = document.createElement("div");
    session.desk?.showMap(corner);
    const { x } = view.viewport;
    corner.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    corner.dispatchEvent(new KeyboardEvent("keydown", { key: "+" }));
    expect(view.viewport.x).toBeGreaterThan(x);
    expect(view.viewport.zoom).toBe(1.25);
    corner.dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
    expect(view.viewport.zoom).toBeLessThan(1);
  });

  it("leaves no listener behind", () => {
    view.close();
    expect(open().numListeners).toBe(0);
    expect(session.desk).toBeNull();
  });
});
