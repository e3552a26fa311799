import { describe, expect, it } from "vitest";
import { Edit } from "../../src/model/edit";
import { hiddenFields, putForm, readForm, shownFields, suggestedForm, swapped, type FormField } from "../../src/model/form";
import { addNode, removeNodes, setTitle } from "../../src/model/node_edits";
import { typeOf } from "../../src/model/node_reading";
import { ROOT, type NodeRecord, type WorkflowDocument } from "../../src/model/records";
import { promoteWidget } from "../../src/model/subgraph_interface";
import { makeSubgraph } from "../../src/model/subgraph_making";
import { unpackSubgraph } from "../../src/model/subgraph_unpacking";
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
    expect(form.fields.map((field) => [field.node, field.widget])).toEqual([[text, "text"], [sampler, "seed"], [sampler, "steps"]]);
    expect(form.outputs).toEqual([save]);
    expect(shownFields(context(), form).map((shown) => shown.label)).toEqual(["Prompt", "seed", "steps"]);
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

describe("the form of a workflow whose nodes went into a subgraph", () => {
  const tools = () => {
    let count = 0;
    return { catalog: CATALOG, listFiles: NO_FILES, newId: () => `made-${(count += 1)}` };
  };
  const field = (node: string, widget: string) => ({ node, widget, label: null, min: null, max: null });
  const shownOf = (document: WorkflowDocument) => {
    const form = readForm(document);
    return form === null ? null : {
      outputs: form.outputs,
      values: shownFields({ document, catalog: CATALOG, listFiles: NO_FILES }, form).map(({ label, view }) => [label, view.value]),
    };
  };

  it("shows the same values and results, also saved and read again, one subgraph in another, and unpacked", () => {
    const { edit, sampler, text, save } = built();
    putForm(edit, { title: "Boats", fields: [field(text, "text"), field(sampler, "steps"), field(sampler, "cfg")], outputs: [save] });
    const first = shownOf(edit.document());
    expect(first?.values).toEqual([["Prompt", ""], ["steps", 20], ["cfg", 8]]);
    const inner = makeSubgraph(edit, ROOT, { nodes: [sampler, save] }, "Made", tools()) as string;
    const more = { ...tools(), newId: (() => { let at = 90; return () => `more-${(at += 1)}`; })() };
    const outer = makeSubgraph(edit, ROOT, { nodes: [inner, text] }, "Around", more) as string;
    const restored = loadWorkflow(plain(saveWorkflow(edit.document())));
    expect(shownOf(restored)).toEqual({ values: first?.values, outputs: [`${outer}:${inner}:${save}`] });
    const deep = new Edit(restored);
    unpackSubgraph(deep, typeOf(deep.get(ROOT, "nodes", outer) as NodeRecord), inner, more);
    expect(shownOf(deep.document())?.values).toEqual(first?.values);
    unpackSubgraph(deep, ROOT, outer, more);
    expect(shownOf(deep.document())).toEqual(first);
    expect(readForm(deep.document())?.fields.map(({ widget }) => widget)).toEqual(["text", "steps", "cfg"]);
  });

  it("is suggested from the inside too, words first, each value once, and results of every instance", () => {
    const { edit, sampler, text, save, context } = built();
    const instance = makeSubgraph(edit, ROOT, { nodes: [sampler, text, save] }, "Made", tools()) as string;
    edit.put(ROOT, "nodes", "77", { ...(edit.get(ROOT, "nodes", instance) as NodeRecord), id: 77 });
    const form = suggestedForm(context());
    expect(form.fields.map((item) => [item.node, item.widget])).toEqual([
      [`${instance}:${text}`, "text"], [`${instance}:${sampler}`, "seed"], [`${instance}:${sampler}`, "steps"],
    ]);
    expect(form.outputs).toEqual([`${instance}:${save}`, `77:${save}`]);
    expect(shownFields(context(), form)[0]).toMatchObject({ label: "Prompt", id: text });
  });

  it("goes on with a value the instance showed when that is unpacked", () => {
    const { edit, sampler } = built();
    const instance = makeSubgraph(edit, ROOT, { nodes: [sampler] }, "Made", tools()) as string;
    const name = promoteWidget(edit, typeOf(edit.get(ROOT, "nodes", instance) as NodeRecord), sampler, "steps", tools()) as string;
    putForm(edit, { title: "", fields: [field(instance, name)], outputs: [] });
    expect(shownOf(edit.document())?.values).toEqual([["steps", 20]]);
    unpackSubgraph(edit, ROOT, instance, tools());
    expect(readForm(edit.document())?.fields).toEqual([field(sampler, "steps")]);
  });

  it("names what is not there, and changing the order loses none of it", () => {
    const { sampler, context } = built();
    const fields = [field(sampler, "steps"), field("99", "gone"), field(sampler, "cfg")];
    const form = { title: "", fields, outputs: [] };
    expect(hiddenFields(context(), form)).toEqual([fields[1]]);
    expect(swapped(fields, fields[0] as FormField, fields[2] as FormField)).toEqual([fields[2], fields[1], fields[0]]);
  });
});
