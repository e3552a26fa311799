import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { arranged, type LayoutEngine } from "../../src/geometry/arrange";
import { distanceTo, linkCurve, middleOf, pointOn } from "../../src/geometry/link_curve";
import { METRICS } from "../../src/geometry/node_shape";
import { Scene } from "../../src/geometry/scene";
import { overlaps, type Rect } from "../../src/geometry/shapes";
import { alignment, snapped } from "../../src/geometry/snapping";
import { SpatialIndex } from "../../src/geometry/spatial_index";
import { fitted, MAX_ZOOM, toScreen, toWorld, visibleRect, zoomedAt } from "../../src/geometry/viewport";
import { applyOps, Edit, inverseOf } from "../../src/model/edit";
import { addGroup } from "../../src/model/group_edits";
import { addReroute, connect, removeLink } from "../../src/model/link_edits";
import { addNode, moveNodes, removeNodes, toggleFlag } from "../../src/model/node_edits";
import { inputsOf } from "../../src/model/node_reading";
import { ROOT, type WorkflowDocument } from "../../src/model/records";
import { emptyWorkflow, loadWorkflow } from "../../src/model/workflow_file";
import { conversionCases, NO_FILES, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();
const contextOf = (document: WorkflowDocument) => ({ document, catalog: CATALOG, listFiles: NO_FILES });

function twoNodes() {
  const edit = new Edit(emptyWorkflow());
  const latent = addNode(edit, ROOT, "EmptyLatentImage", { x: 0, y: 0 }, CATALOG, NO_FILES) as string;
  const sampler = addNode(edit, ROOT, "KSampler", { x: 400, y: 0 }, CATALOG, NO_FILES) as string;
  const slot = inputsOf(edit.get(ROOT, "nodes", sampler) as never).findIndex((item) => item.name === "latent_image");
  const link = connect(edit, ROOT, { node: latent, slot: 0 }, { node: sampler, slot }) as string;
  return { document: edit.document(), latent, sampler, link, slot };
}

const RECT = fc.record({
  x: fc.integer({ min: -9000, max: 9000 }), y: fc.integer({ min: -9000, max: 9000 }),
  width: fc.integer({ min: 0, max: 4000 }), height: fc.integer({ min: 0, max: 4000 }),
});

describe("the spatial index", () => {
  it("finds exactly what looking at everything finds, after any puts and removals", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(20), fc.option(RECT)), { maxLength: 60 }), RECT, (steps, region) => {
      const index = new SpatialIndex();
      const plain = new Map<string, Rect>();
      for (const [key, rect] of steps) {
        if (rect === null) {
          index.remove(String(key));
          plain.delete(String(key));
        } else {
          index.put(String(key), rect);
          plain.set(String(key), rect);
        }
      }
      expect(index.query(region)).toEqual(new Set([...plain].filter(([, r]) => overlaps(r, region)).map(([key]) => key)));
    }), { numRuns: 100 });
  });
});

describe("a scene", () => {
  it("finds sockets before nodes, nodes before links, and tells titles, rows and corners apart", () => {
    const { document, latent, sampler, link, slot } = twoNodes();
    const scene = new Scene(contextOf(document), ROOT);
    const at = scene.socketAt(sampler, "input", slot);
    expect(at).toEqual({ x: 400, y: 3.7 * METRICS.socketRow });
    expect(scene.hit(at ?? { x: 0, y: 0 }, 4)).toMatchObject({ kind: "socket", node: sampler, socket: { slot } });
    expect(scene.hit({ x: 60, y: -10 }, 4)).toMatchObject({ kind: "node", id: latent, part: "title" });
    const row = scene.node(latent)?.shape.rows[0];
    expect(scene.hit({ x: 60, y: (row?.y ?? 0) + 5 }, 4)).toMatchObject({ kind: "node", id: latent, widget: "width" });
    const { width, height } = scene.node(latent)?.shape ?? { width: 0, height: 0 };
    expect(scene.hit({ x: width - 2, y: height - 2 }, 1)).toMatchObject({ part: "corner" });
    expect(scene.hit(middleOf(scene.curve(link) as never), 4)).toMatchObject({ kind: "link", id: link, stretch: 0 });
    expect(scene.hit({ x: -500, y: 900 }, 4)).toEqual({ kind: "void" });
  });

  it("gives the sockets of widgets the height of their row", () => {
    const { document, latent } = twoNodes();
    const { shape } = new Scene(contextOf(document), ROOT).node(latent) as NonNullable<ReturnType<Scene["node"]>>;
    const socket = shape.inputs.find((item) => item.widget === "height");
    const row = shape.rows.find((item) => item.name === "height");
    expect(socket?.y).toBe((row?.y ?? 0) + METRICS.widgetRow / 2);
  });

  it("follows edits to the same shapes as a scene that is laid out anew", () => {
    const { document, latent, sampler, link } = twoNodes();
    const recipes: ((edit: Edit) => unknown)[] = [
      (edit) => moveNodes(edit, ROOT, new Map([[latent, { x: 33, y: 44 }]])),
      (edit) => addReroute(edit, ROOT, link, { x: 300, y: 300 }),
      (edit) => toggleFlag(edit, ROOT, [sampler], "collapsed"),
      (edit) => addNode(edit, ROOT, "VAEDecode", { x: 900, y: 0 }, CATALOG, NO_FILES),
      (edit) => addGroup(edit, ROOT, "g", { x: -50, y: -80, width: 900, height: 600 }),
      (edit) => removeLink(edit, ROOT, link),
      (edit) => removeNodes(edit, ROOT, [latent]),
    ];
    const scene = new Scene(contextOf(document), ROOT);
    const region = { x: -5000, y: -5000, width: 10000, height: 10000 };
    const all = (of: Scene) => {
      const { nodes, links, groups, reroutes } = of.visible(region);
      return [nodes.map((id) => of.node(id)), links.map((id) => [id, of.curve(id)]), groups, reroutes.map((id) => of.reroute(id))];
    };
    let now = document;
    const undos: ReturnType<typeof inverseOf>[] = [];
    for (const recipe of recipes) {
      const edit = new Edit(now);
      recipe(edit);
      now = edit.document();
      undos.push(inverseOf(edit.ops));
      scene.follow(contextOf(now), edit.ops);
      expect(all(scene)).toEqual(all(new Scene(contextOf(now), ROOT)));
    }
    for (const ops of undos.reverse()) {
      now = applyOps(now, ops);
      scene.follow(contextOf(now), ops);
      expect(all(scene)).toEqual(all(new Scene(contextOf(now), ROOT)));
    }
  });

  it("moves links with a drag and forgets the drag when it is shown anew", () => {
    const { document, latent, link } = twoNodes();
    const scene = new Scene(contextOf(document), ROOT);
    const before = scene.curve(link)?.segments[0]?.from;
    scene.drag(new Map([[latent, { x: 100, y: 50 }]]), new Map(), new Map());
    expect(scene.curve(link)?.segments[0]?.from).toEqual({ x: (before?.x ?? 0) + 100, y: (before?.y ?? 0) + 50 });
    scene.show(contextOf(document), ROOT);
    expect(scene.curve(link)?.segments[0]?.from).toEqual(before);
  });

  it("lays out every recorded workflow, inside subgraphs too", () => {
    for (const item of conversionCases()) {
      const document = loadWorkflow(item.workflow);
      for (const id of document.graphs.keys()) {
        const scene = new Scene(contextOf(document), id);
        for (const node of scene.graph.nodes.ids) {
          const { width, height } = scene.outer(node);
          expect(Number.isFinite(width) && Number.isFinite(height) && width > 0).toBe(true);
        }
      }
    }
  });
});

describe("links", () => {
  it("are near themselves and go through their points", () => {
    const points = [{ x: 0, y: 0 }, { x: 50, y: 120 }, { x: 300, y: 10 }];
    for (const style of ["spline", "straight", "linear"] as const) {
      const curve = linkCurve(points, style);
      for (const [i, point] of points.entries()) {
        expect(distanceTo(curve, point).distance).toBeLessThan(0.001);
        expect(distanceTo(curve, { x: point.x, y: point.y + 1 }).stretch).toBeLessThanOrEqual(Math.min(1, i));
      }
      const last = curve.segments.at(-1);
      expect(last && pointOn(last, 1)).toEqual(points[2]);
    }
  });
});

describe("the viewport", () => {
  it("keeps the point under the pointer where it is while zooming", () => {
    fc.assert(fc.property(fc.double({ min: 0.1, max: 10, noNaN: true }), fc.nat(2000), fc.nat(2000), (factor, x, y) => {
      const view = { x: -100, y: 40, zoom: 0.7 };
      const after = zoomedAt(view, { x, y }, factor);
      const screen = toScreen(after, toWorld(view, { x, y }));
      expect(screen.x).toBeCloseTo(x, 5);
      expect(screen.y).toBeCloseTo(y, 5);
      expect(after.zoom).toBeLessThanOrEqual(MAX_ZOOM);
    }), { numRuns: 50 });
  });

  it("fits a rectangle into the canvas", () => {
    const rect = { x: -500, y: 100, width: 3000, height: 400 };
    const size = { width: 800, height: 600 };
    const shown = visibleRect(fitted(rect, size), size);
    expect(shown.x).toBeLessThanOrEqual(rect.x);
    expect(shown.x + shown.width).toBeGreaterThanOrEqual(rect.x + rect.width);
  });
});

describe("snapping", () => {
  it("puts edges in line and says which", () => {
    const found = alignment({ x: 103, y: 0, width: 50, height: 20 }, [{ x: 100, y: 200, width: 80, height: 20 }], 5);
    expect(found).toMatchObject({ dx: -3, dy: 0, guides: [{ axis: "x", at: 100, from: 0, to: 220 }] });
    expect(snapped({ x: 14, y: -16 }, 10)).toEqual({ x: 10, y: -20 });
  });
});

describe("arranging", () => {
  let engine: LayoutEngine;
  beforeAll(async () => {
    const { default: Elk } = await import("elkjs/lib/elk.bundled.js");
    const elk = new Elk();
    engine = (graph) => elk.layout(graph as never);
  });

  it("puts every node after those it takes values from, without overlaps", async () => {
    const item = conversionCases().find((each) => each.case === "plain+invert");
    const scene = new Scene(contextOf(loadWorkflow(item?.workflow ?? {})), ROOT);
    const places = await arranged(scene, engine);
    expect([...places.keys()].sort()).toEqual([...scene.graph.nodes.ids].sort());
    for (const link of scene.graph.links.byId.values()) {
      const [from, to] = [places.get(link.origin), places.get(link.target)];
      expect((from?.x ?? 0) + scene.outer(link.origin).width).toBeLessThanOrEqual(to?.x ?? 0);
    }
  });
});
