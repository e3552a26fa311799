import { describe, expect, it } from "vitest";
import { framed } from "../../src/app/graph_picture";
import { paint } from "../../src/canvas/painter";
import { typeColor, type Theme } from "../../src/canvas/theme";
import { Scene } from "../../src/geometry/scene";
import { Edit } from "../../src/model/edit";
import { connect } from "../../src/model/link_edits";
import { addNode } from "../../src/model/node_edits";
import { ROOT } from "../../src/model/records";
import { emptyWorkflow } from "../../src/model/workflow_file";
import { FakePath, fakeContext } from "../app/fake_stage";
import { NO_FILES, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();
const NUM = 20;
const THEME = { own: (color: string) => color } as Theme;

/** A loader whose CLIP and VAE go to 20 nodes each, and 20 nodes more in a row that hand on a latent. */
function graph() {
  const edit = new Edit(emptyWorkflow());
  const add = (type: string, x: number, y: number) => addNode(edit, ROOT, type, { x, y }, CATALOG, NO_FILES) as string;
  const loader = add("CheckpointLoaderSimple", -500, 0);
  let last: string | null = null;
  for (let i = 0; i < NUM; i++) {
    connect(edit, ROOT, { node: loader, slot: 1 }, { node: add("CLIPTextEncode", 0, i * 300), slot: 0 });
    connect(edit, ROOT, { node: loader, slot: 2 }, { node: add("VAEDecode", 500, i * 300), slot: 1 });
    const next = add("LatentUpscale", 1000 + i * 300, 0);
    if (last !== null) connect(edit, ROOT, { node: last, slot: 0 }, { node: next, slot: 0 });
    last = next;
  }
  const context = { document: edit.document(), catalog: CATALOG, listFiles: NO_FILES };
  return { context, scene: new Scene(context, ROOT) };
}

/** The colour of every stroke, and how many links it draws; nodes have bodies of their own. */
function strokes(zoom: number): (readonly [unknown, number | undefined])[] {
  const { context, scene } = graph();
  const found: (readonly [unknown, number | undefined])[] = [];
  const canvas = fakeContext({ stroke: (own, path) => found.push([own.strokeStyle, path?.numMoves]) });
  const { viewport, ...frame } = framed(scene);
  const mounted = new Set(scene.graph.nodes.ids);
  paint(canvas, { ...frame, viewport: { ...viewport, zoom }, mounted, context, imageOf: () => null, newPath: () => new FakePath() }, THEME);
  return found;
}

describe("links", () => {
  it("are drawn with one stroke for each colour, however many there are, near and far", () => {
    const expected = [[typeColor("CLIP"), NUM], [typeColor("VAE"), NUM], [typeColor("LATENT"), NUM - 1]];
    for (const zoom of [1, 0.3, 0.1]) {
      const found = strokes(zoom);
      expect(found.length).toBe(expected.length);
      expect(found).toEqual(expect.arrayContaining(expected));
    }
  });
});
