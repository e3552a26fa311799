import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { faultText } from "../../src/app/fault_text";
import { languageOf, loadTexts, sayIn, type Texts } from "../../src/i18n/catalogue";
import { EN } from "../../src/i18n/en";
import { CompileError } from "../../src/model/compile/scopes";
import { ServerError, Unreachable } from "../../src/server/client";
import { COMMANDS, DEFAULT_KEYMAP } from "../../src/interaction/keymap";

const SOURCE = new URL("../../src/", import.meta.url).pathname;
const gaps = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();

describe("the catalogues", () => {
  it("have every text in every language, with the same gaps to fill", async () => {
    for (const language of ["zh", "ru"] as const) {
      const texts = await loadTexts(language);
      expect(Object.keys(texts).sort(), language).toEqual(Object.keys(EN).sort());
      for (const key of Object.keys(EN) as (keyof Texts)[]) {
        expect(texts[key].trim(), key).not.toBe("");
        expect(gaps(texts[key]), `${language} ${key}`).toEqual(gaps(EN[key]));
      }
    }
  });

  it("name every command, and hold no text that nobody says", () => {
    for (const name of COMMANDS) expect(EN).toHaveProperty([`command.${name}`]);
    const code = readdirSync(SOURCE, { recursive: true, encoding: "utf-8" })
      .filter((name) => /\.tsx?$/.test(name) && !name.startsWith("i18n"))
      .map((name) => readFileSync(join(SOURCE, name), "utf-8")).join("\n");
    // These are said by a name that is put together.
    const made = /^(command|state|control|status|properties|settings|compare|color)\./;
    expect(Object.keys(EN).filter((key) => !made.test(key) && !code.includes(`"${key}"`))).toEqual([]);
  });

  it("are not the only place of the shortcuts: the page on the editor has every default", () => {
    const page = readFileSync(join(SOURCE, "../../docs/editor.md"), "utf-8");
    const cells = new Set(page.split("\n").filter((line) => line.startsWith("| ")).flatMap((line) => (line.split(" | ")[0] ?? "").slice(2).split(/[,;] /)));
    expect(Object.keys(DEFAULT_KEYMAP).filter((chord) => !cells.has(chord))).toEqual([]);
  });

  it("have a text for every fault of this page, in place of the sentence of the core", () => {
    const code = readdirSync(SOURCE, { recursive: true, encoding: "utf-8" }).filter((name) => name.endsWith(".ts"))
      .map((name) => readFileSync(join(SOURCE, name), "utf-8")).join("\n");
    const codes = [...code.matchAll(/new CompileError\("(\w+)"/g)].map((match) => match[1] as string);
    expect(codes.length).toBeGreaterThan(5);
    for (const each of codes) expect(faultText(new CompileError(each, "raw", "7")), each).not.toBe("raw");
    expect(faultText(new Unreachable("raw"))).not.toBe("raw");
    expect(faultText(new ServerError(409, { message: "It is taken.", hint: "Choose another name." }))).toBe("It is taken. Choose another name.");
  });

  it("fill gaps with values as they are, and leave what nobody gave", () => {
    const say = sayIn(EN);
    expect(say("bar.closeTab", { name: "$& <b>" })).toBe("Close $& <b>");
    expect(say("bar.closeTab")).toBe("Close {name}");
  });

  it("take the first language of the browser that there is", () => {
    expect(languageOf(["de-DE", "ru-RU", "en"])).toBe("ru");
    expect(languageOf(["de"])).toBe("en");
  });
});
