import { describe, expect, it } from "vitest";
import type { InputSpec } from "../../src/model/catalog";
import { Edit } from "../../src/model/edit";
import { gridCells, readValues } from "../../src/model/grid";
import { addNode } from "../../src/model/node_edits";
import { titlesOn } from "../../src/model/node_paths";
import { ROOT } from "../../src/model/records";
import { makeSubgraph } from "../../src/model/subgraph_making";
import { emptyWorkflow } from "../../src/model/workflow_file";
import { NO_FILES, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();
const spec = (name: string) => CATALOG.get("KSampler")?.inputs.find((item) => item.name === name) as InputSpec;
const read = (name: string, text: string) => readValues(text, spec(name), NO_FILES);

describe("values of a grid", () => {
  it("are numbers, ranges with steps and ranges with counts", () => {
    expect(read("steps", "1, 2, 5").values).toEqual([1, 2, 5]);
    expect(read("steps", "1..9:2\n20").values).toEqual([1, 3, 5, 7, 9, 20]);
    expect(read("steps", "3..1").values).toEqual([3, 2, 1]);
    expect(read("cfg", "0..1/5").values).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(read("cfg", "0.1..0.3:0.1").values).toEqual([0.1, 0.2, 0.3]);
    expect(read("cfg", "-1..1").values).toEqual([-1, 0, 1]);
    expect(read("seed", "18446744073709551615").values).toEqual([18446744073709551615n]);
    expect(read("steps", "two, 3, 1..9:0, 1..1000000").wrong).toEqual(["two", "1..9:0", "1..1000000"]);
  });

  it("are choices by name, or by a part only one has, and texts by lines", () => {
    expect(read("sampler_name", "euler\nuni_pc_bh2").values).toEqual(["euler", "uni_pc_bh2"]);
    expect(read("sampler_name", "UNI_PC_B\ndpmpp").values).toEqual(["uni_pc_bh2"]);
    expect(read("sampler_name", "dpmpp").wrong).toEqual(["dpmpp"]);
    const text = CATALOG.get("CLIPTextEncode")?.inputs.find((item) => item.name === "text") as InputSpec;
    expect(readValues("a boat, red\n\n a house", text, NO_FILES).values).toEqual(["a boat, red", "a house"]);
  });

  it("make a prompt for each pair and leave the workflow as it is", () => {
    const edit = new Edit(emptyWorkflow());
    const node = addNode(edit, ROOT, "KSampler", { x: 0, y: 0 }, CATALOG, NO_FILES) as string;
    const document = edit.document();
    const options = { catalog: CATALOG, listFiles: NO_FILES, random: () => 0, now: new Date(0) };
    const cells = gridCells(document, { node, widget: "steps", label: "", values: [1, 2] }, { node, widget: "cfg", label: "", values: [3, 4, 5] }, options);
    expect(cells.map(({ column, row, prompt }) => [column, row, prompt[node]?.inputs.steps, prompt[node]?.inputs.cfg])).toEqual([
      [0, 0, 1, 3], [1, 0, 2, 3], [0, 1, 1, 4], [1, 1, 2, 4], [0, 2, 1, 5], [1, 2, 2, 5],
    ]);
    expect(gridCells(document, { node, widget: "steps", label: "", values: [7] }, null, options)).toHaveLength(1);
    expect(edit.get(ROOT, "nodes", node)).toBe(document.graphs.get(ROOT)?.nodes.byId.get(node));
  });

  it("vary values of nodes inside of subgraphs, however deep, and say where they are", () => {
    const edit = new Edit(emptyWorkflow());
    let count = 0;
    const tools = { catalog: CATALOG, listFiles: NO_FILES, newId: () => `made-${(count += 1)}` };
    const add = (type: string) => addNode(edit, ROOT, type, { x: 0, y: 0 }, CATALOG, NO_FILES) as string;
    const [sampler, size] = [add("KSampler"), add("EmptyLatentImage")];
    const inner = makeSubgraph(edit, ROOT, { nodes: [sampler] }, "Paint", tools) as string;
    const outer = makeSubgraph(edit, ROOT, { nodes: [inner, size] }, "All", tools) as string;
    const document = edit.document();
    const options = { catalog: CATALOG, listFiles: NO_FILES, random: () => 0, now: new Date(0) };
    const x = { node: `${outer}:${inner}:${sampler}`, widget: "steps", label: "", values: [1, 2] };
    const cells = gridCells(document, x, { node: `${outer}:${size}`, widget: "width", label: "", values: [64, 128] }, options);
    expect(cells.map(({ prompt }) => [prompt[x.node]?.inputs.steps, prompt[`${outer}:${size}`]?.inputs.width])).toEqual([[1, 64], [2, 64], [1, 128], [2, 128]]);
    expect(titlesOn(document, CATALOG, x.node)).toEqual(["All", "Paint", "KSampler"]);
  });
});
