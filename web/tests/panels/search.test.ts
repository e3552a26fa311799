import { describe, expect, it } from "vitest";
import { NodeSearch } from "../../src/search/ranking";
import { keymapOf, readPreferences, withChord } from "../../src/settings/preferences";
import { referenceCatalog } from "../reference_catalog";

const search = new NodeSearch(referenceCatalog());
const names = (...given: Parameters<NodeSearch["find"]>) => search.find(...given).map(({ name }) => name);

describe("the search for nodes", () => {
  it("puts the exact name first, and finds words inside of names", () => {
    expect(names("ksampler", null, {})[0]).toBe("KSampler");
    expect(names("text encode", null, {})).toContain("CLIPTextEncode");
    expect(names("vae dec", null, {})[0]).toBe("VAEDecode");
  });

  it("offers to a link only what fits its type, exact types before those that take everything", () => {
    const catalog = referenceCatalog();
    const found = names("", { side: "output", type: "LATENT" }, {});
    expect(found).toContain("VAEDecode");
    for (const name of found) {
      const types = catalog.get(name)?.inputs.map((item) => item.type) ?? [];
      expect(types.some((type) => type.split(",").includes("LATENT") || type === "*" || type === ""), name).toBe(true);
    }
    expect(names("sampler", { side: "input", type: "IMAGE" }, {})).not.toContain("KSampler");
  });

  it("finds the editor's own nodes in the language of the page, and by their English names", () => {
    const own = new NodeSearch(referenceCatalog(), { Note: "Заметка" });
    expect(own.find("заметка", null, {})[0]).toMatchObject({ name: "Note", title: "Заметка" });
    expect(own.find("note", null, {}).map(({ name }) => name)).toContain("Note");
  });

  it("learns what was chosen before", () => {
    const plain = names("load", null, {});
    const last = plain.at(-1) as string;
    expect(names("load", null, { [last]: 200 }).indexOf(last)).toBeLessThan(plain.indexOf(last));
  });
});

describe("preferences", () => {
  it("are the defaults where nothing sensible is stored", () => {
    const fresh = readPreferences(null, ["en"]);
    expect(readPreferences("{broken", ["en"])).toEqual(fresh);
    expect(readPreferences('{"theme":"pink","keys":{"x":"rm"},"language":"xx"}', ["en"])).toEqual(fresh);
    expect(readPreferences('{"theme":"light","keys":{"x":"run","p":null}}', ["zh-CN"])).toMatchObject({
      theme: "light", language: "zh", keys: { x: "run", p: null },
    });
  });

  it("give a command one chord of one's own and take it from others", () => {
    const keys = keymapOf(withChord({}, "run", "ctrl+g"));
    expect(keys["ctrl+g"]).toBe("run");
    expect(keys["ctrl+enter"]).toBeUndefined();
    expect(keys["ctrl+y"]).toBe("redo");
  });
});
