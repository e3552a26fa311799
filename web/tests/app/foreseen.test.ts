import { describe, expect, it } from "vitest";
import { badgeWords } from "../../src/app/badge_words";
import { foreseenText, type Foreseen } from "../../src/app/foreseen";
import { sayIn } from "../../src/i18n/catalogue";
import { EN } from "../../src/i18n/en";
import { RU } from "../../src/i18n/ru";
import { badgeOf } from "../../src/canvas/overlay";
import { NO_FACTS, afterEvent, explained, type NodeRun } from "../../src/model/run_facts";
import { whyOf } from "../../src/model/reasons";
import { OpenDocument } from "../../src/model/open_document";
import { emptyWorkflow } from "../../src/model/workflow_file";

const words = badgeWords(sayIn(EN));
const changed = whyOf({ reason: "inputs_changed", inputs: [{ input: "seed" }] });
const forecast = (seconds: number | null): Foreseen => ({
  document: new OpenDocument(emptyWorkflow(), () => 0), canRun: true, cached: new Set(["1", "5:1"]), seconds,
  runs: new Map([["3", { seconds: 2, why: changed }], ["5:2", { seconds: 1, why: changed }], ["5:7", { seconds, why: whyOf({ reason: "first_run" }) }]]),
});

describe("what is foreseen for a node", () => {
  it("is that it is cached, or that it runs, why, and how long", () => {
    const texts = ["1", "3", "9"].map((id) => foreseenText(forecast(4), id, true, words));
    expect(texts).toEqual(["cached", "runs · seed · 2.0 s", null]);
  });
  it("of an instance is what its inner nodes do together", () => {
    expect(foreseenText(forecast(4), "5", true, words)).toBe("runs · seed, new · 5.0 s");
    expect(foreseenText(forecast(null), "5", true, words)).toBe("runs · seed, new");
  });
  it("inside of an instance is that of the inner node", () => {
    expect([foreseenText(forecast(4), "2", false, words), foreseenText(forecast(4), "1", false, words)]).toEqual(["runs · seed · 1.0 s", "cached"]);
  });
});

describe("badges", () => {
  it("say the time and the memory of a node, but no memory that is not worth a word", () => {
    const after = (held: number) => afterEvent(afterEvent(NO_FACTS, "node_started", { node: "1" }, 1), "node_finished", { node: "1", held_bytes: held }, 3);
    const texts = [5e9, 70_000].map((held) => badgeOf(after(held).nodes.get("1") as NodeRun, words));
    expect(texts).toEqual(["2.0 s · 5.0 GB", "2.0 s"]);
  });
  it("speak the language of the page", () => {
    const done = explained(afterEvent(NO_FACTS, "nodes_cached", { nodes: ["1"] }, 0), { 1: { reason: "first_run" } }).nodes.get("1");
    const texts = [EN, RU].map((texts) => done && badgeOf(done, badgeWords(sayIn(texts))));
    expect(texts).toEqual([EN["badge.cached"], RU["badge.cached"]]);
    expect(foreseenText(forecast(null), "7", false, badgeWords(sayIn(RU)))).toBe(`${RU["badge.runs"]} · ${RU["badge.new"]}`);
  });
});
