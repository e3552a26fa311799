import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { copied, paste } from "../../src/model/clipboard";
import { compileWorkflow } from "../../src/model/compile/compile";
import { applyOps, Edit, inverseOf } from "../../src/model/edit";
import { addGroup, removeGroup, setGroup, setGroupRect } from "../../src/model/group_edits";
import { isObject, type Json } from "../../src/model/json";
import { addReroute, connect, insertOnLink, moveReroute, removeLink, removeReroute, whyNot } from "../../src/model/link_edits";
import {
  addNode, bringToFront, dissolveNodes, moveNodes, removeNodes, resizeNode, setColor, setControl, setProperty,
  setTitle, setWidget, toggleFlag, toggleMode, widgetSocket,
} from "../../src/model/node_edits";
import { inputLink, inputsOf, outputLinks, outputsOf, pointsOfLink } from "../../src/model/node_reading";
import { OpenDocument } from "../../src/model/open_document";
import { ROOT, rootOf, type GraphState, type WorkflowDocument } from "../../src/model/records";
import { advanceSeeds, nextValue } from "../../src/model/seeds";
import { selectionOf } from "../../src/model/selection";
import { labelSocket, moveSocket, promoteInput, promoteOutput, removeSocket } from "../../src/model/subgraph_interface";
import { makeSubgraph } from "../../src/model/subgraph_making";
import { unpackSubgraph } from "../../src/model/subgraph_unpacking";
import { widgetsOf } from "../../src/model/widgets";
import { emptyWorkflow, loadWorkflow, saveWorkflow } from "../../src/model/workflow_file";
import { conversionCases, NO_FILES, plain, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();
const TYPES = ["KSampler", "EmptyLatentImage", "VAEDecode", "CLIPTextEncode", "SaveImage", "Note", "PrimitiveNode"];
let numIds = 0;
const TOOLS = { catalog: CATALOG, listFiles: NO_FILES, newId: () => `new-${(numIds += 1)}` };
const CASES = conversionCases().map((item) => item.workflow);

interface Command {
  readonly name: string;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

function pick(ids: readonly string[], at: number): string {
  return ids[at % Math.max(1, ids.length)] ?? "none";
}

function perform(edit: Edit, { name, a, b, c }: Command): void {
  const graphs = [...edit.document().graphs.keys()];
  const graph = pick(graphs, c);
  const state = edit.graph(graph);
  const [node, other] = [pick(state.nodes.ids, a), pick(state.nodes.ids, b)];
  const link = pick(state.links.ids, a);
  const commands: Record<string, () => unknown> = {
    add: () => addNode(edit, graph, TYPES[a % TYPES.length] as string, { x: a, y: b }, CATALOG, NO_FILES),
    remove: () => removeNodes(edit, graph, [node, other]),
    dissolve: () => dissolveNodes(edit, graph, [node]),
    move: () => moveNodes(edit, graph, new Map([[node, { x: a, y: b }], [other, { x: b, y: c }]])),
    resize: () => resizeNode(edit, graph, node, a, b),
    title: () => setTitle(edit, graph, node, c % 2 ? `title ${a}` : ""),
    color: () => setColor(edit, graph, node, "#123", c % 2 ? "#456" : null),
    mode: () => toggleMode(edit, graph, [node, other], c % 2 ? 2 : 4),
    flag: () => toggleFlag(edit, graph, [node], c % 2 ? "collapsed" : "pinned"),
    front: () => bringToFront(edit, graph, node),
    property: () => setProperty(edit, graph, node, "p", c % 2 ? a : undefined),
    connect: () => connect(edit, graph, { node, slot: a % 3 }, { node: other, slot: b % 4 }),
    cut: () => removeLink(edit, graph, link),
    insert: () => insertOnLink(edit, graph, link, other),
    point: () => addReroute(edit, graph, link, { x: a, y: b }, c),
    movePoint: () => moveReroute(edit, graph, pick(state.reroutes.ids, a), { x: b, y: c }),
    removePoint: () => removeReroute(edit, graph, pick(state.reroutes.ids, a)),
    group: () => addGroup(edit, graph, "g", { x: a, y: b, width: 100, height: c }),
    groupRect: () => setGroupRect(edit, graph, pick(state.groups.ids, a), { x: b, y: c, width: 9, height: 9 }),
    groupTitle: () => setGroup(edit, graph, pick(state.groups.ids, a), "title", "t"),
    ungroup: () => removeGroup(edit, graph, pick(state.groups.ids, a)),
    widget: () => {
      const record = edit.get(graph, "nodes", node);
      if (record === undefined) return;
      const views = widgetsOf({ document: edit.document(), catalog: CATALOG, listFiles: NO_FILES }, state, record);
      const view = views[b % Math.max(1, views.length)];
      if (view !== undefined) setWidget(edit, graph, node, view.name, a, CATALOG, NO_FILES);
    },
    control: () => setControl(edit, graph, node, "seed", "increment", CATALOG, NO_FILES),
    socket: () => widgetSocket(edit, graph, node, "seed", CATALOG),
    seeds: () => advanceSeeds(
      edit, { document: edit.document(), catalog: CATALOG, listFiles: NO_FILES }, () => (a % 97) / 97),
    paste: () => paste(
      edit, graph, plain(copied(edit.document(), graph, selectionOf({ nodes: [node, other], groups: state.groups.ids }))),
      { x: a, y: b }),
    rest: () => edit.setRest(graph, "config", { a }),
    subgraph: () => makeSubgraph(edit, graph, { nodes: [node, other], groups: state.groups.ids.slice(0, 1) }, "Made", TOOLS),
    unpack: () => unpackSubgraph(edit, graph, node, TOOLS),
    promote: () => promoteInput(edit, graph, node, b % 4, TOOLS),
    promoteOutput: () => promoteOutput(edit, graph, node, b % 4, TOOLS),
    moveSocket: () => moveSocket(edit, graph, c % 2 ? "inputs" : "outputs", a % 3, b % 3, TOOLS),
    removeSocket: () => removeSocket(edit, graph, c % 2 ? "inputs" : "outputs", a % 3, TOOLS),
    labelSocket: () => labelSocket(edit, graph, c % 2 ? "inputs" : "outputs", a % 3, "l"),
  };
  commands[name]?.();
}

const NAMES = [
  "add", "remove", "dissolve", "move", "resize", "title", "color", "mode", "flag", "front", "property", "connect",
  "connect", "connect", "cut", "insert", "point", "point", "movePoint", "removePoint", "group", "groupRect",
  "groupTitle", "ungroup", "widget", "control", "socket", "seeds", "paste", "rest", "subgraph",
  "unpack", "promote", "promoteOutput", "moveSocket", "removeSocket", "labelSocket",
];
const COMMAND = fc.record({
  name: fc.constantFrom(...NAMES), a: fc.nat(1000), b: fc.nat(1000), c: fc.nat(50),
});

/** Everything a document holds, for comparing two of them. */
function facts(document: WorkflowDocument): unknown {
  return [...document.graphs.values()].map((graph) => ({
    ...graph,
    nodes: [graph.nodes.ids, [...graph.nodes.ids].map((id) => graph.nodes.byId.get(id))],
    links: [graph.links.ids, [...graph.links.ids].map((id) => graph.links.byId.get(id))],
    reroutes: [graph.reroutes.ids, [...graph.reroutes.ids].map((id) => graph.reroutes.byId.get(id))],
    groups: [graph.groups.ids, [...graph.groups.ids].map((id) => graph.groups.byId.get(id))],
  })).sort((x, y) => (x.id < y.id ? -1 : 1));
}

/** Both ends of every link know it, and nothing knows a link that is not there. */
function expectConsistent(graph: GraphState): void {
  for (const link of graph.links.byId.values()) {
    const origin = graph.nodes.byId.get(link.origin);
    const target = graph.nodes.byId.get(link.target);
    if (origin !== undefined) expect(outputLinks(outputsOf(origin)[link.originSlot])).toContain(link.id);
    if (target !== undefined) expect(inputLink(inputsOf(target)[link.targetSlot])).toBe(link.id);
    for (const point of pointsOfLink(graph, link.parent)) expect(plain(point.linkIds)).toContain(Number(link.id));
  }
  for (const node of graph.nodes.byId.values()) {
    for (const input of inputsOf(node)) if (inputLink(input) !== null) expect(graph.links.ids).toContain(inputLink(input));
    for (const output of outputsOf(node)) for (const id of outputLinks(output)) expect(graph.links.ids).toContain(id);
  }
}

describe("any sequence of edits", () => {
  it("is taken back exactly, step by step and all at once", () => {
    fc.assert(
      fc.property(fc.nat(CASES.length - 1), fc.array(fc.array(COMMAND, { maxLength: 3 }), { maxLength: 12 }), (at, steps) => {
        const start = loadWorkflow(CASES[at] as Json);
        let now = 0;
        const open = new OpenDocument(start, () => (now += 10_000));
        const before = [facts(start)];
        for (const step of steps) {
          const had = open.history.done.length;
          open.edit("step", (edit) => step.forEach((command) => perform(edit, command)));
          if (open.history.done.length > had) before.push(facts(open.document));
        }
        const end = facts(open.document);
        for (let i = before.length - 2; i >= 0; i--) {
          expect(open.undo()).toBe(true);
          expect(facts(open.document)).toEqual(before[i]);
        }
        expect(open.undo()).toBe(false);
        expect(plain(saveWorkflow(open.document))).toEqual(plain(saveWorkflow(start)));
        while (open.redo());
        expect(facts(open.document)).toEqual(end);
      }),
      { numRuns: 60 },
    );
  });

  it("merged into one step is the same change, and the same back", () => {
    fc.assert(
      fc.property(fc.nat(CASES.length - 1), fc.array(COMMAND, { maxLength: 15 }), (at, commands) => {
        const start = loadWorkflow(CASES[at] as Json);
        const open = new OpenDocument(start, () => 0);
        for (const command of commands) open.edit("merged", (edit) => perform(edit, command), { merge: "all" });
        expect(open.history.done.length).toBeLessThanOrEqual(1);
        const end = facts(open.document);
        const ops = open.history.done[0]?.ops ?? [];
        expect(facts(applyOps(start, ops))).toEqual(end);
        expect(facts(applyOps(open.document, inverseOf(ops)))).toEqual(facts(start));
      }),
      { numRuns: 60 },
    );
  });

  it("leaves links whole when it starts from an empty graph, and the file loads as it was saved", () => {
    fc.assert(
      fc.property(fc.array(COMMAND, { maxLength: 40 }), (commands) => {
        const edit = new Edit(emptyWorkflow());
        for (const command of commands) perform(edit, command);
        expectConsistent(edit.graph(ROOT));
        const saved = plain(saveWorkflow(edit.document()));
        expect(plain(saveWorkflow(loadWorkflow(saved)))).toEqual(saved);
      }),
      { numRuns: 60 },
    );
  });
});

describe("commands", () => {
  function built() {
    const edit = new Edit(emptyWorkflow());
    const add = (type: string) => addNode(edit, ROOT, type, { x: 0, y: 0 }, CATALOG, NO_FILES) as string;
    return { edit, add };
  }

  it("refuse links of types that do not fit, to the same node, and in a circle", () => {
    const { edit, add } = built();
    const [latent, sampler, decode] = [add("EmptyLatentImage"), add("KSampler"), add("VAEDecode")];
    const input = (node: string, name: string) => ({
      node, slot: inputsOf(edit.get(ROOT, "nodes", node) as never).findIndex((item) => item.name === name),
    });
    expect(whyNot(edit, ROOT, { node: latent, slot: 0 }, input(sampler, "model"))).toBe("types differ");
    expect(whyNot(edit, ROOT, { node: sampler, slot: 0 }, input(sampler, "latent_image"))).toBe("same node");
    expect(whyNot(edit, ROOT, { node: latent, slot: 7 }, input(sampler, "latent_image"))).toBe("no such socket");
    expect(connect(edit, ROOT, { node: latent, slot: 0 }, input(sampler, "latent_image"))).toBe("1");
    expect(connect(edit, ROOT, { node: sampler, slot: 0 }, input(decode, "samples"))).toBe("2");
    const second = add("KSampler");
    connect(edit, ROOT, { node: sampler, slot: 0 }, input(second, "latent_image"));
    expect(whyNot(edit, ROOT, { node: second, slot: 0 }, input(sampler, "latent_image"))).toBe("cycle");
  });

  it("make a widget a number that reaches the prompt, through the socket of the widget or its value", () => {
    const { edit, add } = built();
    const latent = add("EmptyLatentImage");
    setWidget(edit, ROOT, latent, "width", 640, CATALOG, NO_FILES);
    const options = { catalog: CATALOG, listFiles: NO_FILES, random: () => 0, now: new Date(0) };
    expect(compileWorkflow(edit.document(), options)[latent]?.inputs).toMatchObject({ width: 640, height: 512 });
    const primitive = add("PrimitiveNode");
    const slot = widgetSocket(edit, ROOT, latent, "height", CATALOG) as number;
    connect(edit, ROOT, { node: primitive, slot: 0 }, { node: latent, slot });
    setWidget(edit, ROOT, primitive, "value", 256, CATALOG, NO_FILES);
    expect(compileWorkflow(edit.document(), options)[latent]?.inputs).toMatchObject({ width: 640, height: 256 });
  });

  it("keep the values of nodes nobody knows", () => {
    const document = loadWorkflow({ nodes: [{ id: 1, type: "NoSuch", widgets_values: [1, { a: 2 }, "x"], odd: true }], links: [] });
    const edit = new Edit(document);
    moveNodes(edit, ROOT, new Map([["1", { x: 5, y: 6 }]]));
    setTitle(edit, ROOT, "1", "mine");
    expect(saveWorkflow(edit.document()).nodes).toEqual([
      { id: 1, type: "NoSuch", widgets_values: [1, { a: 2 }, "x"], odd: true, pos: [5, 6], title: "mine" },
    ]);
  });

  it("paste a copy with its links, points and groups, and nothing of the rest", () => {
    const { edit, add } = built();
    const [latent, sampler, decode] = [add("EmptyLatentImage"), add("KSampler"), add("VAEDecode")];
    const slot = inputsOf(edit.get(ROOT, "nodes", sampler) as never).findIndex((item) => item.name === "latent_image");
    const link = connect(edit, ROOT, { node: latent, slot: 0 }, { node: sampler, slot }) as string;
    connect(edit, ROOT, { node: sampler, slot: 0 }, { node: decode, slot: 0 });
    addReroute(edit, ROOT, link, { x: 1, y: 2 });
    const text = plain(copied(edit.document(), ROOT, selectionOf({ nodes: [latent, sampler] })));
    const pasted = paste(edit, ROOT, text, { x: 100, y: 100 });
    const graph = edit.graph(ROOT);
    expect([...pasted.nodes]).toEqual(["4", "5"]);
    expect(graph.links.ids).toHaveLength(3);
    expect(graph.links.byId.get("3")).toMatchObject({ origin: "4", target: "5", parent: "2" });
    expectConsistent(graph);
  });

  it("move seeds on as their control says, within their bounds", () => {
    const spec = CATALOG.get("KSampler")?.inputs.find((item) => item.name === "seed");
    if (spec === undefined) throw new Error("KSampler has a seed");
    const context = { random: () => 0.5, choices: null };
    expect(nextValue(spec, 5, "increment", context)).toBe(6);
    expect(nextValue(spec, 0, "decrement", context)).toBe(0);
    expect(nextValue(spec, 18446744073709551614n, "increment", context)).toBe(18446744073709551615n);
    expect(nextValue(spec, 18446744073709551615n, "increment", context)).toBe(18446744073709551615n);
    expect(nextValue(spec, 5, "fixed", context)).toBe(5);
    expect(Number.isSafeInteger(nextValue(spec, 5, "randomize", context))).toBe(true);
  });

  it("tell listeners the operations and end with the subscription", () => {
    const open = new OpenDocument(emptyWorkflow(), () => 0);
    const heard: number[] = [];
    const end = open.subscribe((event) => heard.push(event.ops.length));
    open.edit("Add", (edit) => addNode(edit, ROOT, "Note", { x: 0, y: 0 }, CATALOG, NO_FILES));
    end();
    open.undo();
    expect(heard.length).toBe(1);
    expect(heard[0]).toBeGreaterThan(0);
    expect(open.numListeners).toBe(0);
    expect(open.isChanged).toBe(false);
    expect(isObject(rootOf(open.document).rest)).toBe(true);
  });
});
