import { expect, it } from "vitest";
import { paintMap } from "../../src/canvas/map_painter";
import { inLight, luminance, type Theme } from "../../src/canvas/theme";
import { mapScale } from "../../src/geometry/minimap";
import { Scene } from "../../src/geometry/scene";
import { ROOT } from "../../src/model/records";
import { loadWorkflow } from "../../src/model/workflow_file";
import { FakePath, fakeContext } from "../app/fake_stage";
import { NO_FILES, referenceCatalog } from "../reference_catalog";

const DARK = "#223355";
const SIZE = { width: 200, height: 120 };

/** The colours a map fills with; one of its nodes has a dark colour of its own. */
function fills(own: Theme["own"]): unknown[] {
  const nodes = [
    { id: 1, type: "Note", pos: [0, 0], size: [200, 100], bgcolor: DARK },
    { id: 2, type: "Note", pos: [400, 0], size: [200, 100] },
  ];
  const document = loadWorkflow({ nodes, links: [], version: 0.4 });
  const scene = new Scene({ document, catalog: referenceCatalog(), listFiles: NO_FILES }, ROOT);
  const found: unknown[] = [];
  const canvas = fakeContext({ fill: (own) => found.push(own.fillStyle) });
  const theme = { own, quiet: "#888888", line: "#cccccc", canvas: "#ffffff", accent: "#0000ff", danger: "#ff0000" } as Theme;
  const picture = { scene, scale: mapScale(scene.bounds(), SIZE), size: SIZE, pixelRatio: 1, running: new Set<string>(), faulty: new Set<string>() };
  Object.assign(globalThis, { Path2D: FakePath });
  paintMap(canvas, picture, theme);
  return found;
}

it("the map shows a file's colours as the theme does: dark ones as tints where the page is light", () => {
  expect(fills((color) => color)).toContain(DARK);
  expect(fills(inLight)).toContain(inLight(DARK));
  expect(fills(inLight)).not.toContain(DARK);
  expect(luminance(inLight(DARK))).toBeGreaterThan(0.5);
});
