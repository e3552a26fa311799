import { describe, expect, it } from "vitest";
import { compileWorkflow, type Prompt } from "../../src/model/compile/compile";
import { chooseAlternatives, replaceTokens, stripComments } from "../../src/model/compile/editor_text";
import type { Json, JsonObject } from "../../src/model/json";
import { loadWorkflow, saveWorkflow } from "../../src/model/workflow_file";
import { conversionCases, NO_FILES, referenceCatalog, plain } from "../reference_catalog";

const CASES = new Map(conversionCases().map((item) => [item.case, item]));
const IMAGE = { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 0 } };
const SAVED = { class_type: "SaveImage", inputs: { filename_prefix: "x", images: ["1", 0] } };
const NOW = new Date(2024, 0, 2, 15, 4, 5);

// Where the editor is not to be followed: the same cases, with the same results, as the server's own compiler.
const OWN_RESULTS = new Map<string, JsonObject>([
  ["wv dict", { "2": { class_type: "KSampler", inputs: {
    seed: 9, steps: 3, cfg: 1.5, sampler_name: "ddim", scheduler: "karras", denoise: 0.5,
  } } }],
  ["unknown node", {
    ...CASES.get("unknown node")?.editor_1_58, "2": { class_type: "NoSuchNode", inputs: { image: ["1", 0] } },
  }],
  ["link obj in 0.4", { "1": IMAGE, "3": SAVED }],
  ["sg passthrough", { "1": IMAGE, "3": SAVED }],
  ["group node", CASES.get("group node")?.editor_1_27 ?? {}],
  ["group node slash", CASES.get("group node slash")?.editor_1_27 ?? {}],
]);

function compiled(workflow: Json): Json {
  const options = { catalog: referenceCatalog(), listFiles: NO_FILES, random: () => 0, now: NOW };
  const prompt: Prompt = compileWorkflow(loadWorkflow(workflow), options);
  return plain(Object.fromEntries(Object.entries(prompt).map(([id, { _meta, ...node }]) => [id, node])));
}

/** Alternatives in texts are drawn; which one does not matter here. */
const DRAWN = new Set(["dynamic prompt + comments", "embedding & escapes"]);

describe("compile", () => {
  it.each([...CASES.keys()].filter((name) => !DRAWN.has(name)))("gives the expected prompt for %s", (name) => {
    const item = CASES.get(name);
    expect(compiled(item?.workflow as Json)).toEqual(OWN_RESULTS.get(name) ?? item?.editor_1_58);
  });

  it.each([...CASES.keys()])("gives the same prompt for both schemas of %s", (name) => {
    const document = loadWorkflow(CASES.get(name)?.workflow as Json);
    expect(compiled(saveWorkflow(document, 0.4))).toEqual(compiled(saveWorkflow(document, 1)));
  });

  it("names the loop when reroutes feed themselves", () => {
    const reroute = (id: number, link: number, out: number) => ({
      id, type: "Reroute", inputs: [{ name: "", type: "*", link }], outputs: [{ name: "", type: "*", links: [out] }],
    });
    const save = { id: 3, type: "SaveImage", inputs: [{ name: "images", type: "IMAGE", link: 3 }] };
    const links = [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 1, 0, "*"], [3, 1, 0, 3, 0, "*"]];
    expect(() => compiled({ nodes: [reroute(1, 2, 1), reroute(2, 1, 2), save], links } as Json)).toThrow(/cycle/);
  });
});

describe("editor text", () => {
  it("loses comments but keeps one that is never closed", () => {
    expect(stripComments("a /* b */ c // d\ne /* f")).toBe("a  c \ne /* f");
  });

  it("draws alternatives from the inside out and keeps escaped and unclosed braces", () => {
    expect(chooseAlternatives("{a|{b|c}} \\{x\\} {y", () => 0.99)).toBe("c {x} {y");
    expect(chooseAlternatives("{a|{b|c}}", () => 0)).toBe("a");
  });

  it("fills dates and widget values into file names and leaves other tokens to the server", () => {
    const value = (node: string, widget: string) => (node === "K" && widget === "name" ? "a/b" : undefined);
    expect(replaceTokens("%date:yyyy-MM-dd%_%K.name%_%width%", NOW, value)).toBe("2024-01-02_a_b_%width%");
  });

  it("works on twenty thousand open braces in linear time", () => {
    const text = "{".repeat(20_000) + "/* ".repeat(20_000);
    expect(chooseAlternatives(stripComments(text), () => 0)).toHaveLength(text.length);
  });
});
