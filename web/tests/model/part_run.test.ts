import { describe, expect, it } from "vitest";
import type { Prompt } from "../../src/model/compile/compile";
import { partOf } from "../../src/model/part_run";
import { referenceCatalog } from "../reference_catalog";

const node = (class_type: string, inputs: Prompt[string]["inputs"] = {}) => ({ class_type, inputs, _meta: { title: "" } });
const PROMPT: Prompt = {
  "1": node("CheckpointLoaderSimple"),
  "5:1": node("EmptyLatentImage"),
  "5:2": node("VAEDecode", { samples: ["5:1", 0], vae: ["1", 2] }),
  "8": node("SaveImage", { images: ["5:2", 0] }),
  "9": node("PreviewImage", { images: ["5:2", 0] }),
  "10": node("EmptyLatentImage"),
};
const part = (way: "to" | "after", id: string, isRoot = true) => partOf(PROMPT, { way, node: id, isRoot }, referenceCatalog());

describe("a run of a part", () => {
  it("to an output asks for that output alone", () => expect(part("to", "8")).toEqual({ prompt: PROMPT, targets: ["8"] }));

  it("to a node that shows nothing shows what comes last in it, below its own id", () => {
    const found = part("to", "5");
    expect(found?.targets).toEqual(["5:2:shown"]);
    expect(found?.prompt["5:2:shown"]).toMatchObject({ class_type: "PreviewImage", inputs: { images: ["5:2", 0] } });
    expect(part("to", "10")?.prompt["10:shown"]).toMatchObject({ class_type: "PreviewAny", inputs: { source: ["10", 0] } });
  });

  it("from a node asks for every output behind it, inside of a subgraph too", () => {
    expect(part("after", "1")?.targets).toEqual(["8", "9"]);
    expect(part("after", "1", false)?.targets).toEqual(["8", "9"]);
    expect(part("after", "9")?.targets).toEqual(["9"]);
  });

  it("is none for a node that takes no part, and for one that leads nowhere", () => {
    expect([part("to", "77"), part("after", "77"), part("after", "10")]).toEqual([null, null, null]);
  });
});
