import { describe, expect, it } from "vitest";
import { compileWorkflow } from "../../src/model/compile/compile";
import { Edit } from "../../src/model/edit";
import { connect } from "../../src/model/link_edits";
import { insertLora, loraSource } from "../../src/model/lora_insertion";
import { addNode } from "../../src/model/node_edits";
import { OpenDocument } from "../../src/model/open_document";
import { ROOT } from "../../src/model/records";
import { emptyWorkflow, saveWorkflow } from "../../src/model/workflow_file";
import { NO_FILES, plain, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();
const TYPES = ["CheckpointLoaderSimple", "CLIPSetLastLayer", "CLIPTextEncode", "KSampler", "CLIPTextEncode", "EmptyLatentImage", "VAEDecode", "SaveImage"];
const LINKS = [[1, 1, 2, 0], [2, 0, 3, 0], [1, 0, 4, 0], [3, 0, 4, 1], [3, 0, 4, 2], [6, 0, 4, 3], [4, 0, 7, 0], [1, 2, 7, 1], [7, 0, 8, 0]] as const;

function opened(): OpenDocument {
  const edit = new Edit(emptyWorkflow());
  for (const type of TYPES) addNode(edit, ROOT, type, { x: 0, y: 0 }, CATALOG, NO_FILES);
  for (const [node, slot, target, input] of LINKS) expect(connect(edit, ROOT, { node: String(node), slot }, { node: String(target), slot: input })).toBeTruthy();
  return new OpenDocument(edit.document(), () => 0);
}

const insert = (open: OpenDocument, file: string) =>
  open.edit("LoRA", (edit) => void insertLora(edit, ROOT, "3", file, CATALOG, () => ["a.safetensors", "b.safetensors"]));
const promptOf = (open: OpenDocument) => plain(Object.fromEntries(
  Object.entries(compileWorkflow(open.document, { catalog: CATALOG, listFiles: NO_FILES, random: () => 0, now: new Date(0) }))
    .map(([id, { inputs }]) => [id, inputs]))) as Record<string, Record<string, unknown>>;

describe("a LoRA chosen in a text", () => {
  it("stands between the weights and all that uses them, the next one behind it, and is one step of undo", () => {
    const open = opened();
    const before = plain(saveWorkflow(open.document));
    insert(open, "a.safetensors");
    insert(open, "b.safetensors");
    const prompt = promptOf(open);
    expect(prompt["9"]).toMatchObject({ model: ["1", 0], clip: ["1", 1], lora_name: "a.safetensors", strength_model: 1 });
    expect(prompt["10"]).toMatchObject({ model: ["9", 0], clip: ["9", 1], lora_name: "b.safetensors" });
    expect([prompt["4"]?.model, prompt["2"]?.clip, prompt["3"]?.clip, prompt["7"]?.vae]).toEqual([["10", 0], ["10", 1], ["2", 0], ["1", 2]]);
    open.undo();
    open.undo();
    expect(plain(saveWorkflow(open.document))).toEqual(before);
  });

  it("has no place where the text is read without weights, or by an encoder that has no model beside it", () => {
    const { graph } = opened();
    expect([loraSource(graph, "3"), loraSource(graph, "5"), loraSource(graph, "6")]).toEqual(["1", null, null]);
  });
});
