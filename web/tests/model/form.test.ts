import { describe, expect, it } from "vitest";
import { Edit } from "../../src/model/edit";
import { putForm, readForm, shownFields, suggestedForm } from "../../src/model/form";
import { addNode, removeNodes, setTitle } from "../../src/model/node_edits";
import { ROOT } from "../../src/model/records";
import { emptyWorkflow, loadWorkflow, saveWorkflow } from "../../src/model/workflow_file";
import { NO_FILES, plain, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();

function built() {
  const edit = new Edit(emptyWorkflow());
  const add = (type: string) => addNode(edit, ROOT, type, { x: 0, y: 0 }, CATALOG, NO_FILES) as string;
  const [sampler, text, save] = [add("KSampler"), add("CLIPTextEncode"), add("SaveImage")];
  setTitle(edit, ROOT, text, "Prompt");
  const context = () => ({ document: edit.document(), catalog: CATALOG, listFiles: NO_FILES });
  return { edit, sampler, text, save, context };
}

describe("the form of a workflow", () => {
  it("is suggested from texts, seeds and sizes until somebody makes one", () => {
    const { edit, sampler, text, save, context } = built();
    expect(readForm(edit.document())).toBe(null);
    const form = suggestedForm(context());
    expect(form.fields.map((field) => [field.node, field.widget])).toEqual([[sampler, "seed"], [sampler, "steps"], [text, "text"]]);
    expect(form.outputs).toEqual([save]);
    expect(shownFields(context(), form).map((shown) => shown.label)).toEqual(["seed", "steps", "Prompt"]);
  });

  it("is kept in the file beside what else is there, and comes back as it was", () => {
    const { edit, sampler, save, context } = built();
    edit.setRest(ROOT, "extra", { ds: { scale: 1 } });
    const form = {
      title: "Boats", outputs: [save],
      fields: [{ node: sampler, widget: "cfg", label: "How closely", min: 2, max: 200 }, { node: "99", widget: "gone", label: null, min: null, max: null }],
    };
    putForm(edit, form);
    const document = loadWorkflow(plain(saveWorkflow(edit.document())));
    expect(readForm(document)).toEqual(form);
    expect(saveWorkflow(document).extra).toMatchObject({ ds: { scale: 1 } });
    const [field, ...others] = shownFields(context(), form);
    expect(others).toEqual([]);
    expect(field).toMatchObject({ label: "How closely", view: { value: 8, spec: { options: { min: 2, max: 100 } } } });
    removeNodes(edit, ROOT, [sampler]);
    expect(shownFields(context(), form)).toEqual([]);
  });

  it("reads what is no form as none", () => {
    for (const extra of [null, {}, { atelier_form: 3 }, { atelier_form: { fields: [1, { node: 2 }, { widget: "x" }] } }]) {
      const form = readForm(loadWorkflow({ nodes: [], links: [], extra }));
      expect(form?.fields ?? []).toEqual([]);
    }
  });
});
