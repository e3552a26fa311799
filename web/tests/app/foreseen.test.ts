import { describe, expect, it } from "vitest";
import { foreseenText, type Foreseen } from "../../src/app/foreseen";
import { whyOf } from "../../src/model/reasons";
import { OpenDocument } from "../../src/model/open_document";
import { emptyWorkflow } from "../../src/model/workflow_file";

const changed = whyOf({ reason: "inputs_changed", inputs: [{ input: "seed" }] });
const forecast = (seconds: number | null): Foreseen => ({
  document: new OpenDocument(emptyWorkflow(), () => 0), canRun: true, cached: new Set(["1", "5:1"]), seconds,
  runs: new Map([["3", { seconds: 2, why: changed }], ["5:2", { seconds: 1, why: changed }], ["5:7", { seconds, why: whyOf({ reason: "first_run" }) }]]),
});

describe("what is foreseen for a node", () => {
  it("is that it is cached, or that it runs, why, and how long", () => {
    const texts = ["1", "3", "9"].map((id) => foreseenText(forecast(4), id, true));
    expect(texts).toEqual(["cached", "runs · seed · 2.0 s", null]);
  });
  it("of an instance is what its inner nodes do together", () => {
    expect(foreseenText(forecast(4), "5", true)).toBe("runs · seed, new · 5.0 s");
    expect(foreseenText(forecast(null), "5", true)).toBe("runs · seed, new");
  });
  it("inside of an instance is that of the inner node", () => {
    expect([foreseenText(forecast(4), "2", false), foreseenText(forecast(4), "1", false)]).toEqual(["runs · seed · 1.0 s", "cached"]);
  });
});
