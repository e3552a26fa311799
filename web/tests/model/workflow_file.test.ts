import { readFileSync, readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Json } from "../../src/model/json";
import { parseJson, writeJson } from "../../src/model/json_text";
import { rootOf } from "../../src/model/records";
import { emptyWorkflow, loadWorkflow, saveWorkflow, WorkflowFileError } from "../../src/model/workflow_file";
import { conversionCases, plain } from "../reference_catalog";

const SHIPPED = new URL("../../../workflows/", import.meta.url);

describe("workflow files", () => {
  it.each(conversionCases().map((item) => [item.case, item.workflow] as const))(
    "come back value for value: %s",
    (_name, workflow) => {
      expect(plain(saveWorkflow(loadWorkflow(workflow)))).toEqual(plain(workflow));
    },
  );

  it("of the project come back value for value", () => {
    const names = readdirSync(SHIPPED).filter((name) => name.endsWith(".json"));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) {
      const value = parseJson(readFileSync(new URL(name, SHIPPED), "utf-8"));
      expect(plain(saveWorkflow(loadWorkflow(value)))).toEqual(plain(value));
    }
  });

  it.each(conversionCases().map((item) => [item.case, item.workflow] as const))(
    "keep nodes, links and points on the way through the other schema: %s",
    (_name, workflow) => {
      const document = loadWorkflow(workflow);
      const other = loadWorkflow(saveWorkflow(document, document.version === 1 ? 0.4 : 1));
      const facts = (value: typeof document) =>
        [...value.graphs.values()].map(({ nodes, links, reroutes }) => ({
          nodes: [...nodes.byId.values()],
          links: [...links.byId.values()].map(({ raw: _raw, ...link }) => link),
          reroutes: [...reroutes.byId.values()],
        }));
      expect(plain(facts(other))).toEqual(plain(facts(document)));
    },
  );

  it("keep what nobody knows: odd entries, missing lists, unknown keys, links by parent, definitions in definitions", () => {
    const values: Json[] = [
      { nodes: [], version: 0.4 },
      { nodes: [{ id: 1 }, 7, { id: 1, twice: true }, null], links: [null, [1], [1, 1, 0, 1, 0, "A", "more"]], nose: { a: [1] } },
      {
        nodes: [], links: [[1, 1, 0, 2, 0, "X"], { id: 2, origin_id: "a", origin_slot: "0", target_id: 2, target_slot: 0, q: 1 }],
        extra: { linkExtensions: [{ id: 9, parentId: 1 }, { id: 1, parentId: 4, b: 2 }], reroutes: [{ id: 4, pos: [1, 2] }] },
      },
      { nodes: [], links: [], extra: { reroutes: [], linkExtensions: [] }, groups: null, version: 0.4 },
      {
        version: 1, nodes: [], links: [], reroutes: [{ id: 1, pos: [0, 0], linkIds: [3] }], state: { lastNodeId: 4 },
        definitions: {
          more: 1,
          subgraphs: [{ id: "a", nodes: [], links: [], definitions: { subgraphs: [{ id: "b", nodes: [], name: "B" }] } }, 5, { id: "a" }],
        },
      },
    ];
    for (const value of values) expect(plain(saveWorkflow(loadWorkflow(value)))).toEqual(plain(value));
  });

  it("keep seeds beyond the exact numbers of a double, NaN and Infinity", () => {
    const text = '{"a":18446744073709551615,"b":[NaN,-Infinity,0.1],"c":"18446744073709551615 NaN \\" 9007199254740993","d":1e30}';
    const value = parseJson(text) as Record<string, unknown>;
    expect(value.a).toBe(18446744073709551615n);
    expect(writeJson(value as Json)).toBe(text.replace("1e30", "1e+30"));
  });

  it("are refused when they are none", () => {
    expect(() => loadWorkflow({ "1": { class_type: "A" } })).toThrow(WorkflowFileError);
    expect(() => loadWorkflow({ nodes: [], links: 5 })).toThrow(WorkflowFileError);
  });

  it("start empty", () => {
    expect(rootOf(emptyWorkflow()).nodes.ids).toEqual([]);
  });
});
