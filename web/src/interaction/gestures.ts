/**
 * The pointer as a state machine: (state, what happened, the world as it is) → (new state, effects). Pure: the same
 * arguments give the same answer, and nothing else is read or changed.
 */

import type { Hit } from "../geometry/scene";
import { moved, spanned, type Point } from "../geometry/shapes";
import { alignment, snapped } from "../geometry/snapping";
import { panned, toWorld, zoomedAt } from "../geometry/viewport";
import { combined, NO_SELECTION, selectionOf, type Selection } from "../model/selection";
import type { DragPlaces, Effect, LinkEnd } from "./effects";
import type { Modifiers, PointerInput } from "./events";
import type { Answer, Gesture, GestureState, World } from "./gesture_state";

const SLACK_PX = { mouse: 3, pen: 6, touch: 8 } as const;
const REACH_PX = { mouse: 5, pen: 8, touch: 14 } as const;
const GUIDE_PX = 6;
const MIN_NODE_WIDTH = 100;
const MIN_GROUP = 60;
const WHEEL_ZOOM = 1.0015;
const NO_PLACES: DragPlaces = { nodes: new Map(), reroutes: new Map(), groups: new Map() };

export function reduce(state: GestureState, input: PointerInput, world: World): Answer {
  switch (input.kind) {
    case "space":
      return { state: { ...state, isSpaceDown: input.isDown }, effects: [] };
    case "escape":
    case "cancel":
      return cancelled(state, input);
    case "wheel":
      return wheel(state, input, world);
    case "double": {
      const at = toWorld(world.viewport, input.screen);
      return { state, effects: [{ do: "open", hit: world.hit(at, REACH_PX.mouse / world.viewport.zoom), at }] };
    }
    case "down":
      return down(withTouch(state, input), input, world);
    case "move":
      return move(withTouch(state, input), input, world);
    case "up":
      return up(withTouch(state, input), input, world);
  }
}

type Press = PointerInput & { kind: "down" | "move" | "up" };

function to(state: GestureState, gesture: Gesture, ...effects: Effect[]): Answer {
  return { state: { ...state, gesture }, effects };
}

function withTouch(state: GestureState, input: Press): GestureState {
  if (input.device !== "touch" || (input.kind === "move" && !state.touches.has(input.pointer))) return state;
  const touches = new Map(state.touches);
  if (input.kind === "up") touches.delete(input.pointer);
  else touches.set(input.pointer, input.screen);
  return { ...state, touches };
}

// ------------------------------------------------------------------ down

function down(state: GestureState, input: Press, world: World): Answer {
  if (state.touches.size === 2) {
    const ends = endedEffects(state.gesture);
    return to(state, { is: "pinching", points: new Map(state.touches) }, ...ends);
  }
  if (state.gesture.is !== "idle") return { state, effects: [] };
  const { pointer, screen, modifiers } = input;
  if (input.button === 1 || (input.button === 0 && state.isSpaceDown)) {
    return to(state, { is: "panning", pointer, last: screen });
  }
  const at = toWorld(world.viewport, screen);
  const hit = world.hit(at, REACH_PX[input.device] / world.viewport.zoom);
  if (input.button === 2) return to(state, { is: "idle" }, ...selectForMenu(hit, world), { do: "menu", hit, at, screen });
  const wasSelected = isSelected(hit, world.selection);
  const effects: Effect[] = [];
  const how = modifiers.ctrl || modifiers.shift;
  if (hit.kind === "node") effects.push({ do: "toFront", node: hit.id });
  if (!how && !wasSelected && hit.kind !== "void" && hit.kind !== "socket") {
    effects.push({ do: "select", selection: selectionOfHit(hit) });
  }
  return to(state, { is: "pressed", pointer, start: screen, hit, modifiers, wasSelected }, ...effects);
}

function selectForMenu(hit: Hit, world: World): Effect[] {
  if (hit.kind === "void" || hit.kind === "socket" || isSelected(hit, world.selection)) return [];
  return [{ do: "select", selection: selectionOfHit(hit) }];
}

function selectionOfHit(hit: Hit): Selection {
  switch (hit.kind) {
    case "node": return selectionOf({ nodes: [hit.id] });
    case "link": return selectionOf({ links: [hit.id] });
    case "reroute": return selectionOf({ reroutes: [hit.id] });
    case "group": return hit.part === "body" ? NO_SELECTION : selectionOf({ groups: [hit.id] });
    default: return NO_SELECTION;
  }
}

function isSelected(hit: Hit, selection: Selection): boolean {
  switch (hit.kind) {
    case "node": return selection.nodes.has(hit.id);
    case "link": return selection.links.has(hit.id);
    case "reroute": return selection.reroutes.has(hit.id);
    case "group": return selection.groups.has(hit.id);
    default: return false;
  }
}

// ------------------------------------------------------------------ move

function move(state: GestureState, input: Press, world: World): Answer {
  const { gesture } = state;
  if (gesture.is === "idle") return { state, effects: [] };
  if (gesture.is === "pinching") return pinch(state, gesture, world);
  if (gesture.pointer !== input.pointer) return { state, effects: [] };
  const at = toWorld(world.viewport, input.screen);
  switch (gesture.is) {
    case "panning": {
      const [dx, dy] = [input.screen.x - gesture.last.x, input.screen.y - gesture.last.y];
      return to(state, { ...gesture, last: input.screen }, { do: "view", viewport: panned(world.viewport, dx, dy) });
    }
    case "pressed": {
      const far = Math.hypot(input.screen.x - gesture.start.x, input.screen.y - gesture.start.y);
      if (far < SLACK_PX[input.device]) return { state, effects: [] };
      const begun = begin(state, gesture, world);
      const next = move(begun.state, input, world);
      return { state: next.state, effects: [...begun.effects, ...next.effects] };
    }
    case "dragging": {
      const { places, guides } = draggedTo(gesture, at, input.modifiers, world);
      return to(state, { ...gesture, places }, { do: "previewDrag", places, guides });
    }
    case "boxing":
      return to(state, { ...gesture, now: at }, { do: "select", selection: boxed({ ...gesture, now: at }, world) });
    case "linking": {
      const target = linkTarget(gesture.from, at, REACH_PX[input.device] * 3 / world.viewport.zoom, world);
      return to(state, { ...gesture, now: at, target, shift: input.modifiers.shift });
    }
    case "resizing": {
      const [grid, place] = [gridOf(world, input.modifiers), world.nodeAt(gesture.node)];
      const now = {
        width: Math.max(MIN_NODE_WIDTH, sizeOn(grid, place?.x ?? 0, gesture.width + at.x - gesture.start.x)),
        height: Math.max(gesture.minHeight, sizeOn(grid, place?.y ?? 0, gesture.height + at.y - gesture.start.y)),
      };
      return to(state, { ...gesture, now }, { do: "previewResize", node: gesture.node, ...now });
    }
    case "resizingGroup": {
      const { rect, start } = gesture;
      const grid = gridOf(world, input.modifiers);
      const now = {
        ...rect,
        width: Math.max(MIN_GROUP, sizeOn(grid, rect.x, rect.width + at.x - start.x)),
        height: Math.max(MIN_GROUP, sizeOn(grid, rect.y, rect.height + at.y - start.y)),
      };
      const places = { ...NO_PLACES, groups: new Map([[gesture.group, now]]) };
      return to(state, { ...gesture, now }, { do: "previewDrag", places, guides: [] });
    }
  }
}

/** The grid that counts now; 0 for none. */
function gridOf({ grid, snapsToGrid }: World, { alt, shift }: Modifiers): number {
  return !alt && snapsToGrid !== shift ? grid : 0;
}

/** A size whose far edge lies on the grid, when its near edge lies at `start`. */
function sizeOn(grid: number, start: number, size: number): number {
  return grid > 0 ? Math.round((start + size) / grid) * grid - start : Math.round(size);
}

/** The pointer has moved far enough: what is this going to be? */
function begin(state: GestureState, pressed: Gesture & { is: "pressed" }, world: World): Answer {
  const { pointer, hit, modifiers } = pressed;
  const start = toWorld(world.viewport, pressed.start);
  if (hit.kind === "socket") return beginLink(state, pointer, hit, modifiers, start, world);
  if (hit.kind === "node" && hit.part === "corner" && !world.isFixed(hit.id)) {
    const size = world.nodeSize(hit.id);
    if (size !== null) return to(state, { is: "resizing", pointer, node: hit.id, start, ...size, now: { width: size.width, height: size.height } });
  }
  if (hit.kind === "group" && hit.part === "corner") {
    const rect = world.groupRect(hit.id);
    if (rect !== null) return to(state, { is: "resizingGroup", pointer, group: hit.id, start, rect, now: rect });
  }
  const isFree = hit.kind === "void" || (hit.kind === "group" && hit.part === "body") || hit.kind === "link";
  if (!isFree) return beginDrag(state, pointer, hit, start, modifiers, world);
  if (modifiers.ctrl || modifiers.shift) {
    const base = world.selection;
    return to(state, { is: "boxing", pointer, start, now: start, base, toggles: modifiers.ctrl });
  }
  return to(state, { is: "panning", pointer, last: pressed.start });
}

function beginDrag(
  state: GestureState, pointer: number, hit: Hit, start: Point, modifiers: Modifiers, world: World,
): Answer {
  const own = selectionOfHit(hit);
  const selection = isSelected(hit, world.selection) ? world.selection : combined(
    modifiers.ctrl || modifiers.shift ? world.selection : NO_SELECTION, own, "add");
  const from = dragged(selection, world);
  const first = from.nodes.keys().next().value;
  const bounds = first === undefined ? { ...start, width: 0, height: 0 } : world.outer(first);
  const select: Effect[] = selection === world.selection ? [] : [{ do: "select", selection }];
  return to(state, { is: "dragging", pointer, start, from, bounds, places: from }, ...select);
}

/** Where everything is that moves with a selection: groups take along what is in them; pinned nodes stay. */
function dragged(selection: Selection, world: World): DragPlaces {
  const nodes = new Set(selection.nodes);
  const points = new Set(selection.reroutes);
  for (const group of selection.groups) {
    const held = world.heldBy(group);
    held.nodes.forEach((id) => nodes.add(id));
    held.reroutes.forEach((id) => points.add(id));
  }
  const placesOf = <T>(ids: Iterable<string>, place: (id: string) => T | null): ReadonlyMap<string, T> => {
    const found = new Map<string, T>();
    for (const id of ids) {
      const at = place(id);
      if (at !== null) found.set(id, at);
    }
    return found;
  };
  return {
    nodes: placesOf(nodes, (id) => (world.isFixed(id) ? null : world.nodeAt(id))),
    reroutes: placesOf(points, (id) => world.rerouteAt(id)),
    groups: placesOf(selection.groups, (id) => world.groupRect(id)),
  };
}

function draggedTo(gesture: Gesture & { is: "dragging" }, at: Point, modifiers: Modifiers, world: World) {
  let [dx, dy] = [at.x - gesture.start.x, at.y - gesture.start.y];
  let guides: ReturnType<typeof alignment>["guides"] = [];
  const { nodes, groups, reroutes } = gesture.from;
  const node = nodes.values().next().value ?? null;
  const anchor = node ?? groups.values().next().value ?? reroutes.values().next().value ?? null;
  const grid = gridOf(world, modifiers);
  if (anchor !== null && grid > 0) {
    const on = snapped({ x: anchor.x + dx, y: anchor.y + dy }, grid);
    [dx, dy] = [on.x - anchor.x, on.y - anchor.y];
  } else if (node !== null && world.showsGuides && !modifiers.alt) {
    const rect = moved(gesture.bounds, dx, dy);
    const found = alignment(rect, world.neighbours(rect, new Set(gesture.from.nodes.keys())), GUIDE_PX / world.viewport.zoom);
    [dx, dy, guides] = [dx + found.dx, dy + found.dy, found.guides];
  }
  [dx, dy] = [Math.round(dx), Math.round(dy)];
  const places: DragPlaces = {
    nodes: new Map([...gesture.from.nodes].map(([id, p]) => [id, { x: p.x + dx, y: p.y + dy }])),
    reroutes: new Map([...gesture.from.reroutes].map(([id, p]) => [id, { x: p.x + dx, y: p.y + dy }])),
    groups: new Map([...gesture.from.groups].map(([id, rect]) => [id, moved(rect, dx, dy)])),
  };
  return { places, guides };
}

function boxed(gesture: Gesture & { is: "boxing" }, world: World): Selection {
  const found = selectionOf(world.inBox(spanned(gesture.start, gesture.now)));
  if (!gesture.toggles) return combined(gesture.base, found, "add");
  return selectionOf({
    nodes: difference(gesture.base.nodes, found.nodes), links: gesture.base.links,
    reroutes: difference(gesture.base.reroutes, found.reroutes), groups: difference(gesture.base.groups, found.groups),
  });
}

/** What is in one of both. */
function difference(one: ReadonlySet<string>, other: ReadonlySet<string>): string[] {
  return [...[...one].filter((id) => !other.has(id)), ...[...other].filter((id) => !one.has(id))];
}

// ------------------------------------------------------------------ links

function beginLink(
  state: GestureState, pointer: number, hit: Hit & { kind: "socket" }, modifiers: Modifiers, now: Point, world: World,
): Answer {
  const { side, slot, type } = hit.socket;
  // A linked input gives its link away; with shift a second one is begun from it.
  const old = side === "input" && !modifiers.shift ? world.linkInto(hit.node, slot) : null;
  const from: LinkEnd = old?.from ?? { node: hit.node, slot, side, type };
  return to(state, { is: "linking", pointer, from, now, target: null, replaces: old?.id ?? null, shift: modifiers.shift });
}

function linkTarget(from: LinkEnd, at: Point, reach: number, world: World): (Hit & { kind: "socket" }) | null {
  const found = world.socketNear(at, from.side === "output" ? "input" : "output", reach);
  if (found === null || found.node === from.node) return null;
  const [given, wanted] = from.side === "output" ? [from.type, found.socket.type] : [found.socket.type, from.type];
  return world.fits(given, wanted) ? found : null;
}

function dropLink(gesture: Gesture & { is: "linking" }): Effect {
  const { from, target, replaces } = gesture;
  if (target === null) return { do: "dropLink", from, at: gesture.now, replaces, modifiers: { shift: gesture.shift } };
  const own = { node: from.node, slot: from.slot };
  const other = { node: target.node, slot: target.socket.slot };
  return from.side === "output"
    ? { do: "connect", from: own, to: other, replaces }
    : { do: "connect", from: other, to: own, replaces };
}

// ------------------------------------------------------------------ up, cancel

function up(state: GestureState, input: Press, world: World): Answer {
  const { gesture } = state;
  if (gesture.is === "idle") return { state, effects: [] };
  if (gesture.is === "pinching") {
    const [last] = state.touches;
    return to(state, last === undefined ? { is: "idle" } : { is: "panning", pointer: last[0], last: last[1] });
  }
  if (gesture.pointer !== input.pointer) return { state, effects: [] };
  const idle: Gesture = { is: "idle" };
  switch (gesture.is) {
    case "pressed":
      return to(state, idle, ...clicked(gesture, world));
    case "dragging":
      return to(state, idle, { do: "commitDrag", places: gesture.places });
    case "linking":
      return to(state, idle, dropLink(gesture));
    case "resizing":
      return to(state, idle, { do: "commitResize", node: gesture.node, ...gesture.now });
    case "resizingGroup":
      return to(state, idle, { do: "commitDrag", places: { ...NO_PLACES, groups: new Map([[gesture.group, gesture.now]]) } });
    default:
      return to(state, idle);
  }
}

/** The pointer came up where it went down. */
function clicked(gesture: Gesture & { is: "pressed" }, world: World): Effect[] {
  const { hit, modifiers } = gesture;
  if (hit.kind === "link" && modifiers.alt) {
    return [{ do: "addReroute", link: hit.id, at: toWorld(world.viewport, gesture.start), stretch: hit.stretch }];
  }
  const own = selectionOfHit(hit);
  if (modifiers.ctrl || modifiers.shift) return [{ do: "select", selection: combined(world.selection, own, "toggle") }];
  const isFree = hit.kind === "void" || (hit.kind === "group" && hit.part === "body");
  return isFree || (gesture.wasSelected && hit.kind !== "socket") ? [{ do: "select", selection: own }] : [];
}

function cancelled(state: GestureState, input: PointerInput & { kind: "escape" | "cancel" }): Answer {
  const touches = new Map(state.touches);
  if (input.kind === "cancel") touches.delete(input.pointer);
  const { gesture } = state;
  const isOther = input.kind === "cancel" && "pointer" in gesture && gesture.pointer !== input.pointer;
  if (isOther) return { state: { ...state, touches }, effects: [] };
  return { state: { ...state, touches, gesture: { is: "idle" } }, effects: endedEffects(gesture) };
}

function endedEffects(gesture: Gesture): Effect[] {
  if (gesture.is === "boxing") return [{ do: "select", selection: gesture.base }];
  return ["dragging", "resizing", "resizingGroup"].includes(gesture.is) ? [{ do: "cancelDrag" }] : [];
}

// ------------------------------------------------------------------ wheel and fingers

function wheel(state: GestureState, input: PointerInput & { kind: "wheel" }, world: World): Answer {
  const { viewport } = world;
  // A trackpad pans with both directions; the wheel of a mouse, and pinching (which comes with ctrl), zooms.
  const isTrackpad = input.dx !== 0 && !input.modifiers.ctrl;
  const next = input.modifiers.shift && !isTrackpad
    ? panned(viewport, -input.dy, 0)
    : isTrackpad
      ? panned(viewport, -input.dx, -input.dy)
      : zoomedAt(viewport, input.screen, WHEEL_ZOOM ** (-input.dy * (input.modifiers.ctrl ? 6 : 1)));
  return { state, effects: [{ do: "view", viewport: next }] };
}

function pinch(state: GestureState, gesture: Gesture & { is: "pinching" }, world: World): Answer {
  const ids = [...gesture.points.keys()];
  const old = ids.map((id) => gesture.points.get(id) as Point);
  const now = ids.map((id) => state.touches.get(id) ?? (gesture.points.get(id) as Point));
  const [a, b, c, d] = [old[0], old[1], now[0], now[1]];
  if (!a || !b || !c || !d) return { state, effects: [] };
  const middle = (p: Point, q: Point) => ({ x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 });
  const span = (p: Point, q: Point) => Math.max(1, Math.hypot(p.x - q.x, p.y - q.y));
  const [before, after] = [middle(a, b), middle(c, d)];
  const shifted = panned(world.viewport, after.x - before.x, after.y - before.y);
  const viewport = zoomedAt(shifted, after, span(c, d) / span(a, b));
  return to(state, { is: "pinching", points: new Map(ids.map((id, i) => [id, now[i] as Point])) }, { do: "view", viewport });
}
