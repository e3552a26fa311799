import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../src/model/json";
import { afterEvent, explained, factsOf, nextRun, NO_FACTS, type RunFacts } from "../../src/model/run_facts";

const EVENTS: readonly (readonly [kind: string, data: JsonObject, timeS: number])[] = [
  ["nodes_cached", { nodes: ["1", "2"] }, 10],
  ["node_started", { node: "3" }, 11],
  ["node_progress", { node: "3", value: 5, max: 20 }, 12],
];

function after(events: typeof EVENTS, start: RunFacts = NO_FACTS): RunFacts {
  return events.reduce((facts, [kind, data, timeS]) => afterEvent(facts, kind, data, timeS), start);
}

describe("what a run shows about nodes", () => {
  it("says who was cached, who runs and how far it is", () => {
    const facts = after(EVENTS);
    expect([facts.nodes.get("1")?.state, facts.nodes.get("3")?.state, facts.nodes.get("3")?.progress]).toEqual(["cached", "running", 0.25]);
  });
  it("says how long a node took", () => {
    const facts = after([...EVENTS, ["node_finished", { node: "3", cached: false }, 13.5]]);
    expect([facts.nodes.get("3")?.durationS, facts.running]).toEqual([2.5, null]);
  });
  it("says what a node held that ran, and nothing of one that was cached", () => {
    const facts = after([...EVENTS, ["node_finished", { node: "3", cached: false, held_bytes: 5e9 }, 13], ["node_finished", { node: "1", cached: true, held_bytes: 5e9 }, 14]]);
    expect([facts.nodes.get("3")?.heldBytes, facts.nodes.get("1")?.heldBytes]).toEqual([5e9, null]);
  });
  it("puts a failure on the node the error names", () => {
    const facts = after([...EVENTS, ["job_failed", { error: { message: "no memory", node: "3" } }, 14]]);
    expect([facts.nodes.get("3")?.state, facts.running]).toEqual(["failed", null]);
  });
  it("leaves no node running after a cancelled job", () => {
    const facts = after([...EVENTS, ["job_cancelled", {}, 14]]);
    expect([...facts.nodes.values()].some((run) => run.state === "running")).toBe(false);
  });
  it("keeps the last pictures until the next ones are there", () => {
    const shown = after([["node_started", { node: "9" }, 1], ["outputs_placed", { node: "9", files: [{ asset: "a" }] }, 2]]);
    const next = nextRun(shown);
    expect([next.nodes.get("9")?.pictures, next.nodes.get("9")?.state]).toEqual([["a"], null]);
    const ran = after([["node_started", { node: "9" }, 3], ["outputs_placed", { node: "9", files: [{ asset: "b" }] }, 4]], next);
    expect(ran.nodes.get("9")?.pictures).toEqual(["b"]);
  });
  it("says files by name that a page cannot draw", () => {
    const files = [{ asset: "a", filename: "one_00001_.PNG" }, { asset: "b", filename: "x_00001_.latent", subfolder: "latents" }];
    const facts = after([["outputs_placed", { node: "9", files }, 2]]);
    expect([facts.nodes.get("9")?.pictures, facts.nodes.get("9")?.texts]).toEqual([["a"], ["latents/x_00001_.latent"]]);
  });
  it("shows the pictures of a node that was cached, which places none", () => {
    const facts = after([["node_finished", { node: "9", cached: true, files: [{ asset: "a" }] }, 3]]);
    expect([facts.nodes.get("9")?.state, facts.nodes.get("9")?.pictures]).toEqual(["cached", ["a"]]);
  });
  it("says why a node ran by its own inputs, and nothing where it only follows", () => {
    const ran = after([["node_finished", { node: "3", cached: false }, 1], ["node_finished", { node: "4", cached: false }, 2]]);
    const facts = explained(ran, {
      3: { reason: "inputs_changed", inputs: [{ input: "seed", upstream: false }, { input: "model", upstream: true }] },
      4: { reason: "inputs_changed", inputs: [{ input: "samples", upstream: true }] },
      5: { reason: "first_run" },
    });
    expect([facts.nodes.get("3")?.why?.inputs, facts.nodes.get("4")?.why?.inputs, facts.nodes.has("5")]).toEqual([["seed"], [], false]);
  });
  it("shows an instance as running while a node inside of it runs", () => {
    const facts = after([["node_started", { node: "5:2" }, 1]]);
    expect([factsOf(facts, "5", true)?.state, factsOf(facts, "2", false)?.state]).toEqual(["running", "running"]);
  });
});
