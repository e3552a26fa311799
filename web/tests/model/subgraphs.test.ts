import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileWorkflow, type Prompt } from "../../src/model/compile/compile";
import { Edit } from "../../src/model/edit";
import { isArray, type Json, type JsonObject } from "../../src/model/json";
import { writeJson } from "../../src/model/json_text";
import { addReroute, connect, mendLinks } from "../../src/model/link_edits";
import { addNode, setWidget } from "../../src/model/node_edits";
import { inputsOf, outputsOf, pointsOfLink, positionOf, typeOf } from "../../src/model/node_reading";
import { OpenDocument } from "../../src/model/open_document";
import { ROOT, rootOf, type GraphId, type GraphState, type NodeRecord, type WorkflowDocument } from "../../src/model/records";
import {
  instancesOf, labelSocket, moveSocket, promoteOutput, promoteWidget, removeSocket, type SubgraphTools,
} from "../../src/model/subgraph_interface";
import { makeSubgraph } from "../../src/model/subgraph_making";
import { unpackSubgraph } from "../../src/model/subgraph_unpacking";
import { widgetsOf } from "../../src/model/widgets";
import { emptyWorkflow, loadWorkflow, saveWorkflow } from "../../src/model/workflow_file";
import { conversionCases, NO_FILES, plain, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();
const RUNS = 80;
const CASES = conversionCases().map((item) => item.workflow);

function toolsOf(): SubgraphTools {
  let count = 0;
  return { catalog: CATALOG, listFiles: NO_FILES, newId: () => `made-${(count += 1)}` };
}

/** The prompt by the last part of each id, or why there is none. */
function compiled(document: WorkflowDocument, ...made: readonly string[]): Json {
  const options = { catalog: CATALOG, listFiles: NO_FILES, random: () => 0, now: new Date(0) };
  let prompt: Prompt;
  try {
    prompt = compileWorkflow(document, options);
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  const bare = (id: string) => id.split(":").filter((part) => !made.includes(part)).join(":");
  const found = Object.entries(prompt).map(([id, { class_type, inputs }]) => [
    bare(id),
    { class_type, inputs: Object.fromEntries(Object.entries(inputs).map(([name, value]) =>
      [name, isArray(value) && typeof value[0] === "string" ? [bare(value[0]), value[1] as Json] : value])) },
  ]);
  return plain(Object.fromEntries(found));
}

/** A graph without the ids of its links and points, the order of its nodes, and sockets of widgets that nothing uses. */
function facts(graph: GraphState): Json {
  const ends = (id: unknown) => {
    const link = graph.links.byId.get(String(id));
    return link === undefined ? null : [link.origin, link.originSlot, link.target, link.targetSlot];
  };
  const bare = (node: NodeRecord): JsonObject => ({
    ...node, pos: Object.values(positionOf(node)),
    inputs: inputsOf(node).map((input) => ({ ...input, link: ends(input.link) })).filter((input) => input.link !== null || !input.widget),
    outputs: outputsOf(node).map((output) => ({
      ...output, links: (isArray(output.links) ? output.links : []).map(ends).sort((a, b) => String(a).localeCompare(String(b))),
    })),
  });
  const byText = (a: unknown, b: unknown) => writeJson(a as Json).localeCompare(writeJson(b as Json));
  return plain({
    nodes: [...graph.nodes.byId.values()].map(bare).sort((a, b) => String(a.id).localeCompare(String(b.id))),
    links: [...graph.links.byId.values()].map((link) => [
      ...(ends(link.id) ?? []), link.type, pointsOfLink(graph, link.parent).map((point) => Object.values(positionOf(point))),
    ]).sort(byText),
    groups: [...graph.groups.byId.values()].map((group) => ({ ...group, id: null })).sort(byText),
  } as unknown as Json);
}

function mended(document: WorkflowDocument, graph: GraphId): GraphState {
  const edit = new Edit(document);
  mendLinks(edit, graph);
  return edit.graph(graph);
}

const SHARES = (graph: GraphState, inside: ReadonlySet<string>) => [...graph.nodes.byId].some(([id, node]) => {
  if (typeOf(node) !== "PrimitiveNode") return false;
  const ends = [...graph.links.byId.values()].filter((link) => link.origin === id).map((link) => inside.has(link.target));
  return ends.includes(true) && ends.includes(false);
});
/** Names in file names are looked up in their own graph and those around it: `%KSampler.seed%` cannot look in. */
const NAMES_OTHERS = (document: WorkflowDocument) => writeJson(saveWorkflow(document)).includes("%");

describe("a subgraph made of any selection", () => {
  it("runs the same, is taken back exactly, and unpacks into what it was", () => {
    let checked = 0;
    fc.assert(
      fc.property(fc.nat(CASES.length - 1), fc.nat(5), fc.infiniteStream(fc.boolean()), (at, which, picks) => {
        const start = loadWorkflow(CASES[at] as Json);
        const graphs = [...start.graphs.keys()];
        const graph = graphs[which % graphs.length] as GraphId;
        const state = start.graphs.get(graph) as GraphState;
        const iterator = picks[Symbol.iterator]();
        const nodes = state.nodes.ids.filter(() => iterator.next().value);
        const open = new OpenDocument(start, () => 0);
        const tools = toolsOf();
        const id = open.edit("Make", (edit) => makeSubgraph(edit, graph, { nodes, groups: state.groups.ids }, "Made", tools));
        if (id === null) return;
        checked += 1;
        const before = compiled(start);
        const doubled = SHARES(state, new Set(nodes));
        if (!NAMES_OTHERS(start)) expect(compiled(open.document, id)).toEqual(before);
        const saved = plain(saveWorkflow(open.document));
        expect(plain(saveWorkflow(loadWorkflow(saved)))).toEqual(saved);
        open.edit("Unpack", (edit) => unpackSubgraph(edit, graph, id, tools));
        expect(compiled(open.document)).toEqual(before);
        if (!doubled) expect(facts(open.document.graphs.get(graph) as GraphState)).toEqual(facts(mended(start, graph)));
        while (open.undo());
        expect(plain(saveWorkflow(open.document))).toEqual(plain(saveWorkflow(start)));
      }),
      { numRuns: 120 },
    );
    expect(checked).toBeGreaterThan(60);
  });
});

describe("a subgraph in a subgraph", () => {
  it("runs the same, from the outside in and unpacked from either side", () => {
    let checked = 0;
    fc.assert(
      fc.property(fc.nat(CASES.length - 1), fc.infiniteStream(fc.boolean()), fc.boolean(), (at, picks, fromInside) => {
        const start = loadWorkflow(CASES[at] as Json);
        const iterator = picks[Symbol.iterator]();
        const edit = new Edit(start);
        const tools = toolsOf();
        const make = (more: readonly string[]) => {
          const nodes = edit.graph(ROOT).nodes.ids.filter((id) => more.includes(id) || iterator.next().value);
          return makeSubgraph(edit, ROOT, { nodes }, "Made", tools);
        };
        const first = make([]);
        if (first === null || NAMES_OTHERS(start)) return;
        const second = make([first]) as string;
        checked += 1;
        const before = compiled(start);
        expect(compiled(edit.document(), first, second)).toEqual(before);
        const outer = typeOf(edit.get(ROOT, "nodes", second) as NodeRecord);
        const order = fromInside ? [[outer, first], [ROOT, second]] : [[ROOT, second], [ROOT, first]];
        for (const [graph, id] of order as [GraphId, string][]) {
          unpackSubgraph(edit, graph, id, tools);
          expect(compiled(edit.document(), first, second)).toEqual(before);
        }
        expect([...edit.document().graphs.keys()].sort()).toEqual([...start.graphs.keys()].sort());
      }),
      { numRuns: RUNS },
    );
    expect(checked).toBeGreaterThan(RUNS / 3);
  });
});

describe("the interface in any order, with any of its widgets shown", () => {
  it("changes nothing about what runs", () => {
    const step = fc.record({ does: fc.constantFrom("promote", "output", "move", "label"), a: fc.nat(50), b: fc.nat(50), isInput: fc.boolean() });
    fc.assert(
      fc.property(fc.nat(CASES.length - 1), fc.infiniteStream(fc.boolean()), fc.array(step, { minLength: 2, maxLength: 8 }), (at, picks, steps) => {
        const start = loadWorkflow(CASES[at] as Json);
        const iterator = picks[Symbol.iterator]();
        const edit = new Edit(start);
        const tools = toolsOf();
        const id = makeSubgraph(edit, ROOT, { nodes: edit.graph(ROOT).nodes.ids.filter(() => iterator.next().value) }, "Made", tools);
        if (id === null || NAMES_OTHERS(start)) return;
        const type = typeOf(edit.get(ROOT, "nodes", id) as NodeRecord);
        for (const { does, a, b, isInput } of steps) {
          const inner = edit.graph(type);
          const node = inner.nodes.ids[a % inner.nodes.ids.length] as string;
          const views = widgetsOf({ document: edit.document(), catalog: CATALOG, listFiles: NO_FILES }, inner, inner.nodes.byId.get(node) as NodeRecord);
          const view = views[b % Math.max(1, views.length)];
          const side = isInput ? "inputs" : "outputs";
          if (does === "promote" && view !== undefined) promoteWidget(edit, type, node, view.name, tools);
          else if (does === "output") promoteOutput(edit, type, node, b % 3, tools);
          else if (does === "move") moveSocket(edit, type, side, a % 5, b % 5, tools);
          else labelSocket(edit, type, side, a % 5, `name ${b}`);
        }
        expect(compiled(edit.document(), id)).toEqual(compiled(start));
        unpackSubgraph(edit, ROOT, id, tools);
        expect(compiled(edit.document())).toEqual(compiled(start));
      }),
      { numRuns: RUNS },
    );
  });
});

/** Latent → sampler → decode, the sampler's seed by a value of its own. */
function built() {
  const edit = new Edit(emptyWorkflow());
  const add = (type: string, x: number) => addNode(edit, ROOT, type, { x, y: 0 }, CATALOG, NO_FILES) as string;
  const [latent, sampler, decode] = [add("EmptyLatentImage", 0), add("KSampler", 400), add("VAEDecode", 800)];
  const slot = inputsOf(edit.get(ROOT, "nodes", sampler) as NodeRecord).findIndex((item) => item.name === "latent_image");
  const link = connect(edit, ROOT, { node: latent, slot: 0 }, { node: sampler, slot }) as string;
  connect(edit, ROOT, { node: sampler, slot: 0 }, { node: decode, slot: 0 });
  return { edit, latent, sampler, decode, link, tools: toolsOf() };
}

function labels(edit: Edit, definition: GraphId, side: "inputs" | "outputs"): Json {
  return (edit.graph(definition).rest[side] as readonly JsonObject[]).map((item) => item.label ?? item.name ?? null);
}

describe("the interface of a subgraph", () => {
  it("has an input for what comes in and an output for what goes out, and keeps the points of links", () => {
    const { edit, sampler, link, tools } = built();
    addReroute(edit, ROOT, link, { x: 200, y: 50 });
    const id = makeSubgraph(edit, ROOT, { nodes: [sampler] }, "Sampling", tools) as string;
    const type = typeOf(edit.get(ROOT, "nodes", id) as NodeRecord);
    expect([labels(edit, type, "inputs"), labels(edit, type, "outputs")]).toEqual([["latent_image"], ["LATENT"]]);
    expect(edit.graph(type).reroutes.ids).toHaveLength(1);
    expect(edit.graph(ROOT).reroutes.ids).toEqual([]);
    unpackSubgraph(edit, ROOT, id, tools);
    expect(edit.hasGraph(type)).toBe(false);
    expect(edit.graph(ROOT).reroutes.ids).toHaveLength(1);
  });

  it("shows promoted widgets on every instance, with values of each one's own", () => {
    const { edit, sampler, tools } = built();
    const id = makeSubgraph(edit, ROOT, { nodes: [sampler] }, "Sampling", tools) as string;
    const type = typeOf(edit.get(ROOT, "nodes", id) as NodeRecord);
    const second = addNode(edit, ROOT, type, { x: 0, y: 500 }, CATALOG, NO_FILES) as string;
    expect(promoteWidget(edit, type, sampler, "steps", tools)).toBe("steps");
    expect(promoteWidget(edit, type, sampler, "cfg", tools)).toBe("cfg");
    expect(promoteWidget(edit, type, sampler, "cfg", tools)).toBe(null);
    const names = (node: string) => widgetsOf({ document: edit.document(), catalog: CATALOG, listFiles: NO_FILES },
      edit.graph(ROOT), edit.get(ROOT, "nodes", node) as NodeRecord).map((view) => [view.label, view.value]);
    setWidget(edit, ROOT, second, "cfg", 3, CATALOG, NO_FILES);
    expect(names(id)).toEqual([["steps", 20], ["cfg", 8]]);
    expect(names(second)).toEqual([["steps", 20], ["cfg", 3]]);
    expect(compiled(edit.document())).toMatchObject({ [`${second}:${sampler}`]: { inputs: { cfg: 3 } }, [`${id}:${sampler}`]: { inputs: { cfg: 8 } } });
    moveSocket(edit, type, "inputs", 2, 0, tools);
    labelSocket(edit, type, "inputs", 0, "Guidance");
    expect(labels(edit, type, "inputs")).toEqual(["Guidance", "latent_image", "steps"]);
    expect(names(second)).toEqual([["Guidance", 3], ["steps", 20]]);
    expect(compiled(edit.document())).toMatchObject({ [`${id}:${sampler}`]: { inputs: { cfg: 8, latent_image: ["1", 0] } } });
    removeSocket(edit, type, "inputs", 2, tools);
    expect(names(second)).toEqual([["Guidance", 3]]);
    unpackSubgraph(edit, ROOT, second, tools);
    expect(instancesOf(edit, type)).toHaveLength(1);
    expect(Object.values(compiled(edit.document()) as JsonObject)).toContainEqual(expect.objectContaining({ inputs: expect.objectContaining({ cfg: 3 }) }));
  });

  it("gives outputs away with their links, and the others go on", () => {
    const { edit, latent, sampler, decode, tools } = built();
    const id = makeSubgraph(edit, ROOT, { nodes: [latent, sampler] }, "Sampling", tools) as string;
    const type = typeOf(edit.get(ROOT, "nodes", id) as NodeRecord);
    expect(promoteOutput(edit, type, latent, 0, tools)).toBe("LATENT_2");
    moveSocket(edit, type, "outputs", 1, 0, tools);
    expect(compiled(edit.document(), id)).toMatchObject({ [decode]: { inputs: { samples: [sampler, 0] } } });
    removeSocket(edit, type, "outputs", 1, tools);
    expect(edit.graph(ROOT).links.ids).toEqual([]);
    expect(rootOf(edit.document()).nodes.byId.get(id)?.outputs).toHaveLength(1);
  });
});
