import { describe, expect, it } from "vitest";
import { nextMounts, type MountFacts } from "../../src/canvas/mounting";
import { DARK_TEXT, inLight, luminance, onPage, textOn } from "../../src/canvas/theme";
import { Scene } from "../../src/geometry/scene";
import { Edit } from "../../src/model/edit";
import { NODE_COLORS } from "../../src/model/node_actions";
import { addNode } from "../../src/model/node_edits";
import { ROOT, type NodeId } from "../../src/model/records";
import { emptyWorkflow } from "../../src/model/workflow_file";
import { NO_FILES, referenceCatalog } from "../reference_catalog";

const SIZE = { width: 1280, height: 800 };

/** 400 nodes, 20 in a row. */
function field(): Scene {
  const edit = new Edit(emptyWorkflow());
  for (let i = 0; i < 400; i++) {
    addNode(edit, ROOT, "VAEDecode", { x: (i % 20) * 260, y: Math.floor(i / 20) * 160 }, referenceCatalog(), NO_FILES);
  }
  return new Scene({ document: edit.document(), catalog: referenceCatalog(), listFiles: NO_FILES }, ROOT);
}
const facts = (more: Partial<MountFacts> = {}): MountFacts =>
  ({ viewport: { x: 0, y: 0, zoom: 1 }, size: SIZE, isMoving: false, isHeld: () => false, ...more });

function settled(scene: Scene, more: Partial<MountFacts> = {}, start: ReadonlySet<NodeId> = new Set()) {
  let [mounted, frames] = [start, 0];
  for (let hasMore = true; hasMore && frames < 100; frames++) ({ mounted, hasMore } = nextMounts(scene, mounted, facts(more)));
  return { mounted, frames };
}

describe("DOM bodies of nodes", () => {
  const scene = field();
  it("are mounted a few a frame, until all that is near has one", () => {
    const { mounted, frames } = settled(scene);
    expect(mounted.size).toBeGreaterThan(24);
    expect(mounted.size).toBeLessThan(60);
    expect(frames).toBeGreaterThan(4);
  });
  it("are the same set while nothing changes, so that nothing is drawn", () => {
    const { mounted } = settled(scene);
    expect(nextMounts(scene, mounted, facts()).mounted).toBe(mounted);
  });
  it("come one a frame at most while the picture moves, and none goes", () => {
    let { mounted } = settled(scene);
    for (let frame = 1; frame <= 30; frame++) {
      const next = nextMounts(scene, mounted, facts({ isMoving: true, viewport: { x: frame * 40, y: 0, zoom: 1 } })).mounted;
      expect(next.size - mounted.size).toBeLessThanOrEqual(1);
      expect([...mounted].every((id) => next.has(id))).toBe(true);
      mounted = next;
    }
  });
  it("go when they are far at rest, but for the one in which somebody types", () => {
    const { mounted } = settled(scene);
    const { mounted: after } = settled(scene, { viewport: { x: 4000, y: 2500, zoom: 1 }, isHeld: (id) => id === "1" }, mounted);
    expect([after.has("1"), after.has("2")]).toEqual([true, false]);
  });
  it("are none below working zoom", () => {
    const { mounted } = settled(scene);
    expect(settled(scene, { viewport: { x: 0, y: 0, zoom: 0.3 } }, mounted).mounted.size).toBe(0);
  });
});

describe("text on a colour of a file", () => {
  it("is light on dark and dark on light", () => {
    expect([textOn("#223"), textOn("#ffe")].map(luminance).map((value) => value > 0.5)).toEqual([true, false]);
  });
  it("is a light tint in the light theme where the file has a dark one, titles darker than bodies; light ones stay", () => {
    for (const { title, body } of NODE_COLORS) {
      const [top, rest] = [inLight(title), inLight(body)].map(luminance) as [number, number];
      expect([textOn(inLight(title)), textOn(inLight(body)), rest > top, top > 0.45]).toEqual([DARK_TEXT, DARK_TEXT, true, true]);
    }
    expect([inLight("#222"), inLight("#ffee88"), inLight("#fe8")]).toEqual(["#ececec", "#ffee88", "#fe8"]);
    expect(onPage("#223")).toBe(`light-dark(${inLight("#223")}, #223)`);
  });
});
