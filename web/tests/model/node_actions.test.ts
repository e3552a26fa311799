import { describe, expect, it } from "vitest";
import { Edit } from "../../src/model/edit";
import { actionsFor } from "../../src/model/node_actions";
import { addNode } from "../../src/model/node_edits";
import { inputsOf } from "../../src/model/node_reading";
import { ROOT, type NodeRecord } from "../../src/model/records";
import { emptyWorkflow } from "../../src/model/workflow_file";
import { NO_FILES, referenceCatalog } from "../reference_catalog";

function made(type: string, change: (node: NodeRecord) => NodeRecord = (node) => node) {
  const edit = new Edit(emptyWorkflow());
  const id = addNode(edit, ROOT, type, { x: 0, y: 0 }, referenceCatalog(), NO_FILES) as string;
  edit.put(ROOT, "nodes", id, change(edit.get(ROOT, "nodes", id) as NodeRecord));
  const document = edit.document();
  const context = { document, catalog: referenceCatalog(), listFiles: NO_FILES };
  const node = edit.get(ROOT, "nodes", id) as NodeRecord;
  return { id, document, actions: actionsFor(context, edit.graph(ROOT), node) };
}

describe("actions of a node", () => {
  it("say what is on after they were done", () => {
    const { id, document, actions } = made("KSampler");
    const edit = new Edit(document);
    actions.find((item) => item.id === "bypass")?.edit?.(edit);
    const context = { document: edit.document(), catalog: referenceCatalog(), listFiles: NO_FILES };
    const after = actionsFor(context, edit.graph(ROOT), edit.get(ROOT, "nodes", id) as NodeRecord);
    expect(after.find((item) => item.id === "bypass")?.isOn).toBe(true);
  });
  it("give a widget a socket where the file lists none", () => {
    const { id, document, actions } = made("KSampler", (node) => ({
      ...node, inputs: inputsOf(node).filter((input) => input.name !== "steps"),
    }));
    const edit = new Edit(document);
    actions.find((item) => item.id === "toInput:steps")?.edit?.(edit);
    expect(inputsOf(edit.get(ROOT, "nodes", id) as NodeRecord).at(-1)?.name).toBe("steps");
  });
  it("do not offer to run notes differently", () => {
    expect(made("Note").actions.some((item) => item.group === "state")).toBe(false);
  });
});
