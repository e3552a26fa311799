import { describe, expect, it } from "vitest";
import { diffOf, restore } from "../../src/model/diff";
import { Edit } from "../../src/model/edit";
import type { Json } from "../../src/model/json";
import { connect } from "../../src/model/link_edits";
import { addNode, moveNodes, removeNodes, setTitle, setWidget, toggleMode } from "../../src/model/node_edits";
import { inputsOf } from "../../src/model/node_reading";
import { OpenDocument } from "../../src/model/open_document";
import { ROOT, type NodeRecord } from "../../src/model/records";
import { makeSubgraph } from "../../src/model/subgraph_making";
import { emptyWorkflow, loadWorkflow, saveWorkflow } from "../../src/model/workflow_file";
import { conversionCases, NO_FILES, plain, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();
const CONTEXT = { catalog: CATALOG, listFiles: NO_FILES };

describe("two versions of a workflow", () => {
  it("differ in nodes that came and went, in values with what they were, and in links; moving alone is told apart", () => {
    const edit = new Edit(emptyWorkflow());
    const add = (type: string) => addNode(edit, ROOT, type, { x: 0, y: 0 }, CATALOG, NO_FILES) as string;
    const [latent, sampler, decode, other] = [add("EmptyLatentImage"), add("KSampler"), add("VAEDecode"), add("VAEDecode")];
    const before = loadWorkflow(plain(saveWorkflow(edit.document())));
    setWidget(edit, ROOT, sampler, "steps", 30, CATALOG, NO_FILES);
    const slot = inputsOf(edit.get(ROOT, "nodes", sampler) as NodeRecord).findIndex((item) => item.name === "latent_image");
    connect(edit, ROOT, { node: latent, slot: 0 }, { node: sampler, slot });
    setTitle(edit, ROOT, sampler, "Mine");
    toggleMode(edit, ROOT, [decode], 4);
    moveNodes(edit, ROOT, new Map([[latent, { x: 9, y: 9 }]]));
    removeNodes(edit, ROOT, [other]);
    const added = add("SaveImage");
    const changes = new Map(diffOf(before, edit.document(), CONTEXT).map((change) => [change.node, change]));
    expect([...changes].map(([id, { kind }]) => [id, kind]).sort()).toEqual(
      [[latent, "moved"], [sampler, "changed"], [decode, "changed"], [other, "removed"], [added, "added"]].sort());
    expect(changes.get(sampler)).toMatchObject({
      title: "Mine", values: [{ name: "steps", before: 20, after: 30 }], also: ["title", "links"],
    });
    expect(changes.get(decode)).toMatchObject({ also: ["mode"], values: [] });
  });

  it("do not differ from themselves, and the restored one is the old one, until it is undone", () => {
    for (const { workflow } of conversionCases()) {
      const before = loadWorkflow(workflow as Json);
      expect(diffOf(before, loadWorkflow(plain(saveWorkflow(before))), CONTEXT)).toEqual([]);
      const open = new OpenDocument(before, () => 0);
      open.edit("Change", (edit) => {
        const [id] = edit.graph(ROOT).nodes.ids;
        if (id !== undefined) makeSubgraph(edit, ROOT, { nodes: [id] }, "Made", { ...CONTEXT, newId: () => "made" });
        removeNodes(edit, ROOT, edit.graph(ROOT).nodes.ids.slice(0, 2));
      });
      const changed = plain(saveWorkflow(open.document));
      open.edit("Restore", (edit) => restore(edit, before));
      expect(plain(saveWorkflow(open.document))).toEqual(plain(saveWorkflow(before)));
      open.undo();
      expect(plain(saveWorkflow(open.document))).toEqual(changed);
    }
  });
});
