import { describe, expect, it } from "vitest";
import { insertionOf } from "../../src/app/insertion";
import { paintOverlay, type Overlay } from "../../src/canvas/overlay";
import type { Theme } from "../../src/canvas/theme";
import { METRICS } from "../../src/geometry/node_shape";
import { Scene } from "../../src/geometry/scene";
import { Edit } from "../../src/model/edit";
import { connect } from "../../src/model/link_edits";
import { addNode, moveNodes } from "../../src/model/node_edits";
import { ROOT } from "../../src/model/records";
import { emptyWorkflow } from "../../src/model/workflow_file";
import { NO_FILES, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();
const SIZE = { width: 4000, height: 2000 };

function sceneOf(...types: string[]): { edit: Edit; scene: () => Scene } {
  const edit = new Edit(emptyWorkflow());
  types.forEach((type, i) => addNode(edit, ROOT, type, { x: i * 500, y: 0 }, CATALOG, NO_FILES));
  return { edit, scene: () => new Scene({ document: edit.document(), catalog: CATALOG, listFiles: NO_FILES }, ROOT) };
}

/** The middles of all circles of one radius that are drawn. */
function circles(overlay: Partial<Overlay>, radius: number): string[] {
  const found: string[] = [];
  const canvas = new Proxy({ measureText: () => ({ width: 40 }) } as Record<string, unknown>, {
    get: (target, key: string) => (key === "arc"
      ? (x: number, y: number, size: number) => size === radius && found.push(`${x} ${y}`) : (target[key] ?? (() => undefined))),
    set: () => true,
  }) as unknown as CanvasRenderingContext2D;
  const none = new Set<string>();
  paintOverlay(canvas, {
    viewport: { x: 0, y: -100, zoom: 1 }, size: SIZE, pixelRatio: 1, selection: { nodes: none, links: none, groups: none, reroutes: none },
    guides: [], insertion: null, runOf: () => undefined, foreseen: null, faulty: none, words: {}, ...overlay,
  } as unknown as Overlay, {} as Theme);
  return found;
}

describe("a link in hand", () => {
  it("lights up every socket that takes it and no other", () => {
    const scene = sceneOf("CheckpointLoaderSimple", "CLIPTextEncode", "KSampler", "VAEDecode").scene();
    const gesture = (slot: number, type: string) =>
      ({ is: "linking", from: { node: "1", side: "output", slot, type }, target: null, now: { x: 10, y: 10 } }) as unknown as Overlay["gesture"];
    const at = (node: string, slot: number) => {
      const { x, y } = scene.socketAt(node, "input", slot) ?? { x: NaN, y: NaN };
      return `${x} ${y}`;
    };
    const lit = METRICS.socketRadius + 6;
    expect(circles({ scene, gesture: gesture(1, "CLIP") }, lit)).toEqual([at("2", 0)]);
    expect(circles({ scene, gesture: gesture(0, "MODEL") }, lit)).toEqual([at("3", 0)]);
    expect(circles({ scene, gesture: gesture(2, "VAE") }, lit)).toEqual([at("4", 1)]);
  });
});

describe("a node dragged onto a link", () => {
  it("goes into it where it fits and has no links of its own", () => {
    const { edit, scene } = sceneOf("EmptyLatentImage", "VAEDecode", "LatentUpscale", "ImageInvert");
    connect(edit, ROOT, { node: "1", slot: 0 }, { node: "2", slot: 0 });
    expect(insertionOf(scene(), "3")).toBeNull();
    const before = scene();
    const [start, end] = [before.socketAt("1", "output", 0), before.socketAt("2", "input", 0)];
    for (const id of ["3", "4"]) {
      const { width, height, x, y } = before.outer(id);
      const corner = before.node(id)?.at ?? { x: 0, y: 0 };
      const middle = { x: ((start?.x ?? 0) + (end?.x ?? 0)) / 2, y: ((start?.y ?? 0) + (end?.y ?? 0)) / 2 };
      moveNodes(edit, ROOT, new Map([[id, { x: middle.x - width / 2 - (x - corner.x), y: middle.y - height / 2 - (y - corner.y) }]]));
    }
    const [link] = before.graph.links.ids;
    expect([insertionOf(scene(), "3"), insertionOf(scene(), "4"), insertionOf(scene(), "1")]).toEqual([link, null, null]);
  });
});
