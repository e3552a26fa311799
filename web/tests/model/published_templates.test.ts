/**
 * The published workflow templates of the field: none loses a value, and each compiles to the prompt that the server's own
 * compiler makes of it. The Python test that runs this one names their folder and the prompts.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileWorkflow } from "../../src/model/compile/compile";
import { isObject, type JsonObject } from "../../src/model/json";
import { parseJson } from "../../src/model/json_text";
import { loadWorkflow, saveWorkflow } from "../../src/model/workflow_file";
import { NO_FILES, plain, referenceCatalog } from "../reference_catalog";

const { ATELIER_TEMPLATES: FOLDER, ATELIER_TEMPLATE_PROMPTS: PROMPTS } = process.env;

describe.skipIf(FOLDER === undefined || PROMPTS === undefined)("published templates", () => {
  const read = (path: string) => parseJson(readFileSync(path, "utf-8"));
  const wanted = PROMPTS === undefined ? {} : (read(PROMPTS) as Record<string, JsonObject>);
  const files = readdirSync(FOLDER ?? ".").filter((name) => name in wanted);

  it("are there", () => expect(files.length).toBe(Object.keys(wanted).length));

  it.each(files)("come back value for value and run as the server would run them: %s", (name) => {
    const workflow = read(join(FOLDER ?? "", name));
    const document = loadWorkflow(workflow);
    expect(plain(saveWorkflow(document))).toEqual(plain(workflow));
    const options = { catalog: referenceCatalog(), listFiles: NO_FILES, random: () => 0, now: new Date() };
    const prompt = Object.entries(compileWorkflow(document, options)).map(([id, node]) => {
      const { _meta, ...rest } = plain(node) as JsonObject;
      expect(isObject(_meta)).toBe(true);
      return [id, rest] as const;
    });
    expect(plain(Object.fromEntries(prompt))).toEqual(plain(wanted[name] ?? null));
  });
});
