import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Scene } from "../../src/geometry/scene";
import { toScreen, type Viewport } from "../../src/geometry/viewport";
import type { Effect } from "../../src/interaction/effects";
import { NO_MODIFIERS, type Modifiers, type PointerInput } from "../../src/interaction/events";
import { IDLE, type GestureState } from "../../src/interaction/gesture_state";
import { reduce } from "../../src/interaction/gestures";
import { commandFor, DEFAULT_KEYMAP } from "../../src/interaction/keymap";
import { worldOf } from "../../src/interaction/world";
import { Edit } from "../../src/model/edit";
import { addGroup } from "../../src/model/group_edits";
import { connect } from "../../src/model/link_edits";
import { addNode, toggleFlag } from "../../src/model/node_edits";
import { inputsOf } from "../../src/model/node_reading";
import { ROOT } from "../../src/model/records";
import { NO_SELECTION, selectionOf, type Selection } from "../../src/model/selection";
import { emptyWorkflow } from "../../src/model/workflow_file";
import { NO_FILES, referenceCatalog } from "../reference_catalog";

const CATALOG = referenceCatalog();

/** A scene with a latent (1), a sampler (2, linked from 1 by link 1) and a pinned note (3), and who plays with it. */
class Player {
  readonly scene: Scene;
  readonly latentSlot: number;
  view: Viewport = { x: -100, y: -100, zoom: 0.5 };
  selection: Selection = NO_SELECTION;
  state: GestureState = IDLE;
  effects: Effect[] = [];
  grid = 0;
  snapsToGrid = true;

  constructor() {
    const edit = new Edit(emptyWorkflow());
    const add = (type: string, x: number, y: number) => addNode(edit, ROOT, type, { x, y }, CATALOG, NO_FILES) as string;
    add("EmptyLatentImage", 0, 0);
    add("KSampler", 400, 0);
    add("Note", 0, 400);
    this.latentSlot = inputsOf(edit.get(ROOT, "nodes", "2") as never).findIndex((item) => item.name === "latent_image");
    connect(edit, ROOT, { node: "1", slot: 0 }, { node: "2", slot: this.latentSlot });
    toggleFlag(edit, ROOT, ["3"], "pinned");
    addGroup(edit, ROOT, "g", { x: -30, y: 350, width: 300, height: 200 });
    this.scene = new Scene({ document: edit.document(), catalog: CATALOG, listFiles: NO_FILES }, ROOT);
  }

  do(input: PointerInput): this {
    const facts = { viewport: this.view, selection: this.selection, grid: this.grid, snapsToGrid: this.snapsToGrid, showsGuides: false };
    const answer = reduce(this.state, input, worldOf(this.scene, facts));
    this.state = answer.state;
    for (const effect of answer.effects) {
      if (effect.do === "view") this.view = effect.viewport;
      if (effect.do === "select") this.selection = effect.selection;
      this.effects.push(effect);
    }
    return this;
  }

  pointer(kind: "down" | "move" | "up", x: number, y: number, more: Partial<{ button: number; modifiers: Modifiers }> = {}): this {
    return this.do({
      kind, pointer: 1, device: "mouse", button: more.button ?? 0, screen: toScreen(this.view, { x, y }),
      modifiers: more.modifiers ?? NO_MODIFIERS,
    });
  }

  drag(from: readonly [number, number], to: readonly [number, number], more: Parameters<Player["pointer"]>[3] = {}): this {
    const view = this.view;
    this.pointer("down", ...from, more).pointer("move", (from[0] + to[0]) / 2, (from[1] + to[1]) / 2, more);
    this.view = view;
    return this.pointer("move", ...to, more).pointer("up", ...to, more);
  }

  kinds(): string[] {
    return this.effects.map((effect) => effect.do);
  }

  last<K extends Effect["do"]>(kind: K): (Effect & { do: K }) | undefined {
    return this.effects.findLast((effect): effect is Effect & { do: K } => effect.do === kind);
  }
}

const SHIFT = { modifiers: { ...NO_MODIFIERS, shift: true } };

describe("the pointer", () => {
  it("selects what is clicked and nothing in the void, and toggles with control", () => {
    const player = new Player().pointer("down", 50, -10).pointer("up", 50, -10);
    expect([...player.selection.nodes]).toEqual(["1"]);
    player.pointer("down", 450, -10, { modifiers: { ...NO_MODIFIERS, ctrl: true } })
      .pointer("up", 450, -10, { modifiers: { ...NO_MODIFIERS, ctrl: true } });
    expect([...player.selection.nodes]).toEqual(["1", "2"]);
    player.pointer("down", 900, 900).pointer("up", 900, 900);
    expect(player.selection.nodes.size).toBe(0);
    expect(player.kinds()).not.toContain("commitDrag");
  });

  it("drags all selected nodes as one edit and leaves pinned ones", () => {
    const player = new Player();
    player.selection = selectionOf({ nodes: ["1", "2", "3"] });
    player.drag([50, -10], [150, 90]);
    const commits = player.effects.filter((effect) => effect.do === "commitDrag");
    expect(commits).toHaveLength(1);
    expect([...(player.last("commitDrag")?.places.nodes ?? [])]).toEqual([
      ["1", { x: 100, y: 100 }], ["2", { x: 500, y: 100 }],
    ]);
  });

  it("takes back a drag on escape without an edit", () => {
    const player = new Player().pointer("down", 50, -10).pointer("move", 200, 200).do({ kind: "escape" }).pointer("up", 200, 200);
    expect(player.kinds()).toContain("cancelDrag");
    expect(player.kinds()).not.toContain("commitDrag");
    expect(player.state.gesture).toEqual({ is: "idle" });
  });

  it("snaps the dragged node to the grid, and not with alt", () => {
    const player = new Player();
    player.grid = 50;
    player.drag([50, -10], [112, 20]);
    expect(player.last("commitDrag")?.places.nodes.get("1")).toEqual({ x: 50, y: 50 });
    player.drag([50, -10], [112, 20], { modifiers: { ...NO_MODIFIERS, alt: true } });
    expect(player.last("commitDrag")?.places.nodes.get("1")).toEqual({ x: 62, y: 30 });
  });

  it("snaps while shift is held where it does not, and the other way round", () => {
    const shift = { modifiers: { ...NO_MODIFIERS, shift: true } };
    const places = (snapsToGrid: boolean) => {
      const player = Object.assign(new Player(), { grid: 50, snapsToGrid });
      player.pointer("down", 50, -10).pointer("move", 90, 0).pointer("move", 112, 20, shift).pointer("up", 112, 20, shift);
      return player.last("commitDrag")?.places.nodes.get("1");
    };
    expect([places(false), places(true)]).toEqual([{ x: 50, y: 50 }, { x: 62, y: 30 }]);
  });

  it("puts the far edges on the grid when a group is resized, and groups too when they are moved", () => {
    const player = Object.assign(new Player(), { grid: 50 });
    player.drag([268, 548], [301, 590]);
    expect(player.last("commitDrag")?.places.groups.values().next().value).toEqual({ x: -30, y: 350, width: 330, height: 250 });
    player.drag([100, 360], [110, 395]);
    expect(player.last("commitDrag")?.places.groups.values().next().value).toMatchObject({ x: 0, y: 400 });
  });

  it("pans from the void, with the middle button and with space", () => {
    for (const start of [{ button: 0 }, { button: 1 }]) {
      const player = new Player();
      const before = player.view;
      player.do({ kind: "down", pointer: 1, device: "mouse", button: start.button, screen: { x: 700, y: 700 }, modifiers: NO_MODIFIERS })
        .do({ kind: "move", pointer: 1, device: "mouse", button: start.button, screen: { x: 720, y: 740 }, modifiers: NO_MODIFIERS });
      expect(player.view).toEqual({ ...before, x: before.x - 40, y: before.y - 80 });
    }
    const player = new Player().do({ kind: "space", isDown: true }).pointer("down", 50, -10);
    expect(player.state.gesture.is).toBe("panning");
  });

  it("selects by box with shift, and the box is gone on release", () => {
    const player = new Player().drag([-90, -80], [500, 40], SHIFT);
    expect([...player.selection.nodes].sort()).toEqual(["1", "2"]);
    expect(player.state.gesture).toEqual({ is: "idle" });
  });

  it("makes a link from output to a fitting input and not to another", () => {
    const player = new Player();
    const from = player.scene.socketAt("1", "output", 0) ?? { x: 0, y: 0 };
    const to = player.scene.socketAt("2", "input", player.latentSlot) ?? { x: 0, y: 0 };
    player.drag([from.x, from.y], [to.x + 3, to.y + 2]);
    expect(player.last("connect")).toEqual({
      do: "connect", from: { node: "1", slot: 0 }, to: { node: "2", slot: player.latentSlot }, replaces: null,
    });
    const model = player.scene.socketAt("2", "input", 0) ?? { x: 0, y: 0 };
    player.effects = [];
    player.drag([from.x, from.y], [model.x - 30, model.y - 20]);
    expect(player.kinds()).toEqual(["dropLink"]);
  });

  it("picks up a linked input's link and drops it in the void", () => {
    const player = new Player();
    const to = player.scene.socketAt("2", "input", player.latentSlot) ?? { x: 0, y: 0 };
    player.drag([to.x, to.y], [300, 600]);
    expect(player.last("dropLink")).toMatchObject({ replaces: "1", from: { node: "1", side: "output", type: "LATENT" } });
  });

  it("adds a point with alt and a click on a link", () => {
    const player = new Player();
    const middle = player.scene.curve("1")?.segments[0];
    const at = { x: ((middle?.from.x ?? 0) + (middle?.to.x ?? 0)) / 2, y: ((middle?.from.y ?? 0) + (middle?.to.y ?? 0)) / 2 };
    const alt = { modifiers: { ...NO_MODIFIERS, alt: true } };
    player.pointer("down", at.x, at.y, alt).pointer("up", at.x, at.y, alt);
    expect(player.last("addReroute")).toMatchObject({ link: "1", stretch: 0 });
  });

  it("resizes a node by its corner, not below its smallest size", () => {
    const player = new Player();
    const { width, height, minHeight } = player.scene.node("1")?.shape ?? { width: 0, height: 0, minHeight: 0 };
    player.drag([width - 3, height - 3], [width + 57, -400]);
    expect(player.last("commitResize")).toEqual({ do: "commitResize", node: "1", width: width + 60, height: minHeight });
  });

  it("moves a group by its title with what is in it, except what is pinned", () => {
    const player = new Player().drag([100, 355], [200, 455]);
    const places = player.last("commitDrag")?.places;
    expect(places?.groups.get("g0")).toEqual({ x: 70, y: 450, width: 300, height: 200 });
    expect(places?.nodes.size).toBe(0);
  });

  it("zooms with two fingers around their middle and goes on panning with one", () => {
    const player = new Player();
    const touch = (kind: "down" | "move" | "up", pointer: number, x: number, y: number) =>
      player.do({ kind, pointer, device: "touch", button: 0, screen: { x, y }, modifiers: NO_MODIFIERS });
    touch("down", 1, 700, 700);
    touch("down", 2, 800, 700);
    expect(player.state.gesture.is).toBe("pinching");
    touch("move", 1, 650, 700);
    touch("move", 2, 850, 700);
    expect(player.view.zoom).toBeCloseTo(1, 5);
    touch("up", 2, 850, 700);
    expect(player.state.gesture).toMatchObject({ is: "panning", pointer: 1 });
    touch("up", 1, 650, 700);
    expect(player.state).toEqual(IDLE);
  });

  it("ends idle and never edits twice, whatever happens in whatever order", () => {
    const press = fc.record({
      kind: fc.constantFrom("down", "move", "up"), pointer: fc.integer({ min: 1, max: 3 }),
      device: fc.constantFrom("mouse", "touch", "pen"), button: fc.nat(2),
      screen: fc.record({ x: fc.nat(900), y: fc.nat(600) }),
      modifiers: fc.record({ shift: fc.boolean(), ctrl: fc.boolean(), alt: fc.boolean() }),
    });
    const other = fc.oneof(
      fc.constant({ kind: "escape" }),
      fc.record({ kind: fc.constant("cancel"), pointer: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant("space"), isDown: fc.boolean() }),
    );
    fc.assert(fc.property(fc.array(fc.oneof({ weight: 5, arbitrary: press }, { weight: 1, arbitrary: other }), { maxLength: 60 }), (inputs) => {
      const player = new Player();
      for (const input of inputs) {
        const before = player.effects.length;
        player.do(input as PointerInput);
        const edits = player.effects.slice(before).filter((effect) => effect.do.startsWith("commit") || effect.do === "connect");
        expect(edits.length).toBeLessThanOrEqual(1);
      }
      for (const pointer of [1, 2, 3]) player.do({ kind: "cancel", pointer });
      player.do({ kind: "escape" });
      expect(player.state.gesture).toEqual({ is: "idle" });
      expect(player.state.touches.size).toBe(0);
    }), { numRuns: 150 });
  });
});

describe("keys", () => {
  it("mean commands, except in a text field, where only running and saving do", () => {
    const key = (name: string, modifiers: Partial<Modifiers> = {}, isTyping = false) =>
      commandFor({ key: name, modifiers: { ...NO_MODIFIERS, ...modifiers }, isTyping }, DEFAULT_KEYMAP);
    expect(key("Z", { ctrl: true, shift: true })).toBe("redo");
    expect(key("Delete")).toBe("delete");
    expect(key("Delete", {}, true)).toBeNull();
    expect(key("Enter", { ctrl: true }, true)).toBe("run");
    expect(key("constructor")).toBeNull();
  });
});
