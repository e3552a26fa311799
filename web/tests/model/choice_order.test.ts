import { describe, expect, it } from "vitest";
import { favouritesKey, orderedChoices } from "../../src/model/choice_order";
import { readPreferences, withStar } from "../../src/settings/preferences";
import { referenceCatalog } from "../reference_catalog";

const NAMES = ["anime_b", "base", "anime_a", "turbo base"];
const order = (query: string, starred: string[] = [], nearest: string | null = null) =>
  orderedChoices(NAMES, { query, starred: new Set(starred), nearest });

describe("the choices of a list", () => {
  it("keep their order, favourites and the nearest of a missing one before them", () => {
    expect(order("")).toEqual(NAMES);
    expect(order("", ["turbo base", "base"])).toEqual(["base", "turbo base", "anime_b", "anime_a"]);
    expect(order("", ["base"], "anime_a")).toEqual(["anime_a", "base", "anime_b", "turbo base"]);
  });

  it("are searched by every word, names that begin with the first one before the others", () => {
    expect(order("base")).toEqual(["base", "turbo base"]);
    expect(order("base tu")).toEqual(["turbo base"]);
    expect(order("a", ["turbo base"])).toEqual(["turbo base", "anime_b", "anime_a", "base"]);
  });

  it("share their favourites where they are the same files, or the same names", () => {
    const catalog = referenceCatalog();
    const key = (type: string, input: string) => favouritesKey(catalog.get(type)?.inputs.find((item) => item.name === input) as never);
    expect(key("CheckpointLoaderSimple", "ckpt_name")).toBe("checkpoints");
    expect(key("KSampler", "sampler_name")).toBe(key("KSamplerAdvanced", "sampler_name"));
  });
});

describe("favourites", () => {
  it("come and go, and an empty list leaves nothing behind", () => {
    const once = withStar({ vae: ["x"] }, "checkpoints", "a");
    expect(once).toEqual({ vae: ["x"], checkpoints: ["a"] });
    expect(withStar(once, "checkpoints", "a")).toEqual({ vae: ["x"] });
  });

  it("are read back, and what is no list of names is left out", () => {
    const stored = { favourites: { checkpoints: ["a"], vae: [1], loras: "x" }, showsMap: false };
    expect(readPreferences(JSON.stringify(stored), [])).toMatchObject({ favourites: { checkpoints: ["a"] }, showsMap: false });
    expect(readPreferences(null, [])).toMatchObject({ favourites: {}, showsMap: true });
  });
});
