import { describe, expect, it } from "vitest";
import { Edit } from "../../src/model/edit";
import type { Json } from "../../src/model/json";
import { connect } from "../../src/model/link_edits";
import { addNode } from "../../src/model/node_edits";
import { inOrder, outlineOf, type OutlineItem } from "../../src/model/outline";
import { ROOT } from "../../src/model/records";
import { makeSubgraph } from "../../src/model/subgraph_making";
import { emptyWorkflow, loadWorkflow } from "../../src/model/workflow_file";
import { conversionCases, NO_FILES, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();

function flat(items: readonly OutlineItem[]): OutlineItem[] {
  return items.flatMap((item) => [item, ...flat(item.children())]);
}

describe("the outline", () => {
  it("has every node of the root and every link at both of its ends, in any file", () => {
    for (const { workflow } of conversionCases()) {
      const document = loadWorkflow(workflow as Json);
      const root = document.graphs.get(ROOT);
      const found = flat(outlineOf(document, CATALOG, [])).filter((item) => item.way.length === 0);
      const nodes = found.filter((item) => item.kind === "node" || item.kind === "note").map((item) => item.key);
      expect(nodes.sort()).toEqual((root?.nodes.ids ?? []).map((id) => `node ${id}`).sort());
      expect(new Set(found.map((item) => item.key)).size).toBe(found.length);
    }
  });

  it("puts sources first, walks into subgraphs, and names the node of a problem inside", () => {
    const edit = new Edit(emptyWorkflow());
    const add = (type: string) => addNode(edit, ROOT, type, { x: 0, y: 0 }, CATALOG, NO_FILES) as string;
    const [decode, sampler] = [add("VAEDecode"), add("KSampler")];
    connect(edit, ROOT, { node: sampler, slot: 0 }, { node: decode, slot: 0 });
    expect(inOrder(edit.graph(ROOT))).toEqual([sampler, decode]);
    const made = makeSubgraph(edit, ROOT, { nodes: [sampler] }, "Sampling", { catalog: CATALOG, listFiles: NO_FILES, newId: counting() }) as string;
    const path = `${made}:${sampler}`;
    const items = outlineOf(edit.document(), CATALOG, [{ path, message: "too hot", remedy: "", input: "cfg" }]);
    const all = flat(items);
    expect(all[1]).toMatchObject({ kind: "fault", node: sampler, way: [made], title: "KSampler" });
    expect(all.find((item) => item.key === `node ${made}`)).toMatchObject({ title: "Sampling", numFaults: 1 });
    expect(all.find((item) => item.key === `node ${path}`)).toMatchObject({ title: "KSampler", numFaults: 1 });
    expect(all.filter((item) => item.kind === "source" && item.way.length === 0)).toMatchObject([{ socket: "samples", other: made, otherTitle: "Sampling" }]);
  });
});

function counting(): () => string {
  let count = 0;
  return () => `made-${(count += 1)}`;
}
