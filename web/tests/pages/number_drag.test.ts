// @vitest-environment happy-dom
import { fireEvent } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GraphView } from "../../src/app/graph_view";
import { Session } from "../../src/app/session";
import { Catalog, type InputSpec, type NodeSpec } from "../../src/model/catalog";
import { isArray } from "../../src/model/json";
import { positionOf } from "../../src/model/node_reading";
import { fakeHost } from "../app/fake_stage";
import { FakeServer } from "../fake_server";

const input = (name: string, type: string, options: InputSpec["options"]): InputSpec =>
  ({ name, type, presence: "required", options, choices: null, is_wildcard: false });
const KNOB: NodeSpec = {
  name: "Knob", title: "", category: "", description: "", outputs: [], is_output_node: true, is_deprecated: false, is_experimental: false,
  search_aliases: [], any_input: null, pack: "toys",
  inputs: [input("share", "FLOAT", { default: 1, min: 0, max: 6, step: 0.25 }), input("count", "INT", { default: 20, min: 1, max: 100 })],
};

describe("a number field", () => {
  let session: Session;
  let view: GraphView;
  let host: HTMLElement;
  let now: number;

  beforeEach(async () => {
    now = 0;
    session = new Session(new FakeServer().client, { nowMs: () => now, random: () => 0.5 });
    session.store.setState({ catalog: new Catalog({ Knob: KNOB }) });
    await session.openValue({ version: 0.4, nodes: [{ id: 1, type: "Knob", pos: [0, 0], size: [300, 120], widgets_values: [1, 20] }], links: [] });
    host = fakeHost();
    view = new GraphView(host, session);
    for (let i = 0; i < 3; i++) await new Promise((done) => requestAnimationFrame(done));
  });
  afterEach(() => {
    view.close();
    host.remove();
  });

  const open = () => session.store.getState().open;
  const values = () => {
    const found = open().graph.nodes.byId.get("1")?.widgets_values;
    return isArray(found) ? found : [];
  };
  const numSteps = () => open().history.done.length;
  const field = (name: string) => host.querySelector<HTMLInputElement>(`input[aria-label='${name}']`) as HTMLInputElement;
  const at = (clientX: number, shiftKey = false) => ({ clientX, clientY: 20, pointerId: 1, pointerType: "mouse", button: 0, shiftKey });
  /** Presses at the first place and lets go at the last; `pauseMs` goes by before every move. */
  const drag = (name: string, places: readonly number[], { pauseMs = 16, shift = false } = {}) => {
    const [first = 0, ...rest] = places;
    fireEvent.pointerDown(field(name), at(first));
    for (const x of rest) {
      now += pauseMs;
      fireEvent.pointerMove(field(name), at(x, shift));
    }
    fireEvent.pointerUp(field(name), at(places.at(-1) ?? 0));
  };

  it("that is dragged changes its value by its step, within its bounds, and moves nothing else", () => {
    drag("share", [100, 102, 104, 113, 120]);
    expect([values(), field("share").value]).toEqual([[2.25, 20], "2.25"]);
    drag("share", [100, 40, 20]);
    expect(values()).toEqual([0, 20]);
    drag("count", [50, 58], { shift: true });
    expect(values()).toEqual([0, 40]);
    drag("count", [50, 42]);
    expect(values()).toEqual([0, 38]);
    expect([positionOf(open().graph.nodes.byId.get("1") ?? {}), host.contains(document.activeElement)]).toEqual([{ x: 0, y: 0 }, false]);
  });

  it("that is dragged makes one step of undo of each drag, however long it takes and however soon the next one comes", () => {
    drag("share", [100, 104, 112, 108, 120], { pauseMs: 5000 });
    expect([values()[0], numSteps()]).toEqual([2.25, 1]);
    drag("share", [100, 104]);
    expect([values()[0], numSteps()]).toEqual([2.5, 2]);
    open().undo();
    expect(values()[0]).toBe(2.25);
    open().undo();
    expect([values()[0], numSteps()]).toEqual([1, 0]);
    open().redo();
    expect(values()[0]).toBe(2.25);
  });

  it("that is clicked opens for typing, all of it selected, and has changed nothing", async () => {
    drag("share", [100, 102]);
    const typed = field("share");
    expect([document.activeElement === typed, typed.selectionStart, typed.selectionEnd, numSteps()]).toEqual([true, 0, 1, 0]);
    drag("share", [100, 140]);
    expect(values()[0]).toBe(1);
    await userEvent.clear(typed);
    await userEvent.type(typed, "7/2{Enter}");
    expect([values()[0], numSteps(), document.activeElement === typed]).toEqual([3.5, 1, false]);
  });
});
