import { describe, expect, it } from "vitest";
import { completed, completionAt, weightName } from "../../src/model/completion";

const NAMES = ["windmill", "styles/oil", "Wide", "oil_old"];
const LORAS = ["ink/lines", "Lines_soft"];
const at = (text: string, caret = text.length) => completionAt(text, caret, { embedding: NAMES, lora: LORAS });
const choices = (text: string) => at(text)?.choices ?? null;

describe("the word that is typed", () => {
  it("may become an embedding, by its prefix or by the beginning of its name", () => {
    expect(choices("a (embedding:wi")).toEqual(["windmill", "Wide"]);
    expect(choices("a hill, win")).toEqual(["windmill"]);
    expect(choices("embedding:")).toEqual(NAMES);
    expect(choices("emb")).toEqual(NAMES);
  });
  it("is marked as an embedding only where it says so", () => {
    expect([at("win")?.isNamed, at("embedding:w")?.isNamed]).toEqual([false, true]);
  });
  it("finds names in folders, those that only hold the letters last", () => {
    expect(choices("embedding:oil")).toEqual(["styles/oil", "oil_old"]);
    expect(choices("embedding:old")).toEqual(["oil_old"]);
  });
  it("is left alone where little is typed, nothing fits, or the name is whole", () => {
    for (const text of ["", "wi", "a win ", "embedding:zzz", "embedding:windmill"]) expect(choices(text)).toBeNull();
  });
  it("is replaced, and what stands behind it stays", () => {
    const found = at("(win:1.2)", 4);
    expect(found && completed("(win:1.2)", found, "windmill")).toEqual({ text: "(embedding:windmill:1.2)", caret: 19 });
  });
  it("may be a LoRA after its prefix, with or without a bracket; chosen, it leaves the text", () => {
    expect([choices("a hill <lora:"), choices("a hill lor"), choices("<lora:soft")]).toEqual([LORAS, LORAS, ["Lines_soft"]]);
    expect([at("lor")?.isNamed, at("lora:")?.isNamed, at("lora:")?.kind]).toEqual([false, true, "lora"]);
    const found = at("a hill, <lora:li>, red", 16);
    expect(found && completed("a hill, <lora:li>, red", found, "ink/lines")).toEqual({ text: "a hill, , red", caret: 8 });
    expect(completionAt("lora:", 5, { embedding: NAMES, lora: [] })).toBeNull();
  });
  it("is a file without its ending", () => expect(weightName("a/b.v2.safetensors")).toBe("a/b.v2"));
});
