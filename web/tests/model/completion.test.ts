import { describe, expect, it } from "vitest";
import { completed, completionAt, embeddingName } from "../../src/model/completion";

const NAMES = ["windmill", "styles/oil", "Wide", "oil_old"];
const choices = (text: string) => completionAt(text, text.length, NAMES)?.choices ?? null;

describe("the word that is typed", () => {
  it("may become an embedding, by its prefix or by the beginning of its name", () => {
    expect(choices("a (embedding:wi")).toEqual(["windmill", "Wide"]);
    expect(choices("a hill, win")).toEqual(["windmill"]);
    expect(choices("embedding:")).toEqual(NAMES);
    expect(choices("emb")).toEqual(NAMES);
  });
  it("is marked as an embedding only where it says so", () => {
    expect([completionAt("win", 3, NAMES)?.isNamed, completionAt("embedding:w", 11, NAMES)?.isNamed]).toEqual([false, true]);
  });
  it("finds names in folders, those that only hold the letters last", () => {
    expect(choices("embedding:oil")).toEqual(["styles/oil", "oil_old"]);
    expect(choices("embedding:old")).toEqual(["oil_old"]);
  });
  it("is left alone where little is typed, nothing fits, or the name is whole", () => {
    for (const text of ["", "wi", "a win ", "embedding:zzz", "embedding:windmill"]) expect(choices(text)).toBeNull();
  });
  it("is replaced, and what stands behind it stays", () => {
    const found = completionAt("(win:1.2)", 4, NAMES);
    expect(found && completed("(win:1.2)", found, "windmill")).toEqual({ text: "(embedding:windmill:1.2)", caret: 19 });
  });
  it("is a file without its ending", () => expect(embeddingName("a/b.v2.safetensors")).toBe("a/b.v2"));
});
