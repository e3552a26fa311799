import { describe, expect, it } from "vitest";
import { framed, svgOf } from "../../src/app/graph_picture";
import type { Theme } from "../../src/canvas/theme";
import { textsOf } from "../../src/files/picture_metadata";
import { writePng } from "../../src/files/png_writing";
import { workflowIn } from "../../src/files/reading";
import { pngWithWorkflow } from "../../src/files/workflow_pictures";
import { Scene } from "../../src/geometry/scene";
import { Edit } from "../../src/model/edit";
import type { Json } from "../../src/model/json";
import { connect } from "../../src/model/link_edits";
import { addNode, setTitle } from "../../src/model/node_edits";
import { ROOT } from "../../src/model/records";
import { emptyWorkflow, saveWorkflow } from "../../src/model/workflow_file";
import { NO_FILES, referenceCatalog } from "../reference_catalog";

const HOSTILE = 'a]]></metadata><script>alert("1")</script> & ü 图 \u0001';
const THEME = Object.fromEntries(
  ["canvas", "grid", "node", "title", "field", "line", "text", "quiet", "accent", "danger", "good"].map((key) => [key, "#123456"]),
) as unknown as Theme;
Object.assign(THEME, { own: (color: string) => color });
const CATALOG = referenceCatalog();

function drawn() {
  const edit = new Edit(emptyWorkflow());
  addNode(edit, ROOT, "EmptyLatentImage", { x: 0, y: 0 }, CATALOG, NO_FILES);
  addNode(edit, ROOT, "LatentUpscale", { x: 400, y: 0 }, CATALOG, NO_FILES);
  connect(edit, ROOT, { node: "1", slot: 0 }, { node: "2", slot: 0 });
  setTitle(edit, ROOT, "1", HOSTILE);
  const document = edit.document();
  const context = { document, catalog: CATALOG, listFiles: NO_FILES };
  const workflow = { ...(saveWorkflow(document) as { readonly [key: string]: Json }), seed: 18446744073709551615n };
  const picture = { ...framed(new Scene(context, ROOT)), context, imageOf: () => null, newPath: () => { throw new Error("of the drawing"); } };
  return { svg: svgOf(picture, THEME, workflow, () => ""), workflow };
}

describe("a graph as SVG", () => {
  it("opens again as the workflow, whatever its texts hold and however large its numbers are", () => {
    const { svg, workflow } = drawn();
    expect(workflowIn(new TextEncoder().encode(svg), "graph.svg")).toEqual(workflow);
  });

  it("has every node, socket and link as shapes, and texts only as text", () => {
    const { svg } = drawn();
    const shapes = svg.slice(svg.indexOf("]]></metadata>"));
    const texts = [...shapes.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map((match) => match[1]);
    expect(texts).toEqual(expect.arrayContaining(["LATENT", "width", "Upscale Latent", "nearest-exact"]));
    expect(shapes).not.toMatch(/<script|NaN|undefined/);
    expect([...shapes].filter((letter) => letter < " " && letter !== "\n")).toEqual([]);
    expect(svg.match(/<path d="M[^"]*C[^"]*" fill="none" stroke="#cc79a7"/g)?.length).toBe(1);
    const [, width, height] = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(svg) ?? [];
    expect([Number(width) > 600, Number(height) > 150]).toEqual([true, true]);
  });

  it("is read as servers write it, and without a word about files that carry none", () => {
    const read = (text: string) => Object.fromEntries(textsOf(new TextEncoder().encode(text)));
    const both = '{"prompt": {"1": {}}, "workflow": {"nodes": [], "text": "x]]\\u003e"}}';
    expect(read(`<?xml version="1.0"?>\n<svg xmlns="x"><metadata>\n<![CDATA[${both}]]></metadata></svg>`)).toEqual({
      prompt: '{"1":{}}', workflow: '{"nodes":[],"text":"x]]>"}',
    });
    expect(read('<svg:svg><svg:metadata>{"workflow":"&lt;&amp;lt;"}</svg:metadata></svg:svg>')).toEqual({ workflow: "<&lt;" });
    for (const text of ["<svg/>", "<svg><metadata/></svg>", "<svg><metadata>{</metadata></svg>", "<svg><metadata>[1]</metadata></svg>", "<html></html>", "<"]) {
      expect(read(text)).toEqual({});
    }
  });
});

describe("a graph as PNG", () => {
  it("opens again as the workflow, which is ASCII in a tEXt chunk before the colours", () => {
    const { workflow } = drawn();
    const png = pngWithWorkflow(writePng({ width: 1, height: 1, data: new Uint8ClampedArray(4) }), workflow);
    expect(workflowIn(png, "graph.png")).toEqual(workflow);
    const raw = new TextDecoder("latin1").decode(png);
    expect(raw).toContain("tEXtworkflow\0{");
    expect(raw.indexOf("tEXt")).toBeLessThan(raw.indexOf("IDAT"));
    expect(raw).toContain("\\u56fe");
  });
});
