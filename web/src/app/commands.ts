/** Commands by name: what keys and menus do with the open document. */

import { fitted, zoomedAt, type Viewport } from "../geometry/viewport";
import { arranged } from "../geometry/arrange";
import { sayNow } from "../i18n/catalogue";
import { grown } from "../geometry/shapes";
import type { Scene } from "../geometry/scene";
import type { CommandName } from "../interaction/keymap";
import { addGroup, removeGroup } from "../model/group_edits";
import { removeLink, removeReroute } from "../model/link_edits";
import { dissolveNodes, moveNodes, removeNodes, toggleFlag, toggleMode } from "../model/node_edits";
import { positionOf } from "../model/node_reading";
import { MODE } from "../model/records";
import { isEmptySelection, selectionOf } from "../model/selection";
import { preferences } from "../settings/preferences";
import { enterSelected, makeSubgraphHere, unpackSelected } from "./subgraph_commands";
import type { Session } from "./session";

/** What a command may look at and move besides the document. */
export interface Desk {
  readonly session: Session;
  readonly scene: Scene;
  readonly size: { readonly width: number; readonly height: number };
  viewport: Viewport;
  /** Pixels at the lower edge that the map lies over. */
  readonly corner: number;
}

const NUDGE = 10;
const FIT_MARGIN = 40;
const GROUP_MARGIN = 20;

export function perform(name: CommandName, desk: Desk): void {
  const { session, scene } = desk;
  const { open, saved } = session.store.getState();
  const graph = open.graph.id;
  const { nodes } = open.selection;
  const onNodes = (label: string, change: Parameters<typeof open.edit>[1]) => {
    if (nodes.size > 0) open.edit(label, change);
  };
  const middle = { x: desk.size.width / 2, y: desk.size.height / 2 };
  switch (name) {
    case "undo": return void open.undo();
    case "redo": return void open.redo();
    case "selectAll": {
      const { nodes, reroutes, groups } = open.graph;
      return open.select(selectionOf({ nodes: nodes.ids, reroutes: reroutes.ids, groups: groups.ids }));
    }
    case "delete": return removeSelected(desk);
    case "dissolve": return onNodes("Dissolve", (edit) => dissolveNodes(edit, graph, nodes));
    case "bypass": return onNodes("Bypass", (edit) => toggleMode(edit, graph, nodes, MODE.bypassed));
    case "mute": return onNodes("Mute", (edit) => toggleMode(edit, graph, nodes, MODE.muted));
    case "collapse": return onNodes("Collapse", (edit) => toggleFlag(edit, graph, nodes, "collapsed"));
    case "pin": return onNodes("Pin", (edit) => toggleFlag(edit, graph, nodes, "pinned"));
    case "group": {
      const around = scene.bounds(nodes);
      if (around === null) return undefined;
      const box = grown(around, GROUP_MARGIN);
      const rect = { ...box, y: box.y - GROUP_MARGIN, height: box.height + GROUP_MARGIN };
      return void open.edit("Group", (edit) => addGroup(edit, graph, sayNow()("group.new"), rect));
    }
    case "subgraph": return makeSubgraphHere(session);
    case "unpack": return unpackSelected(session);
    case "enter": return enterSelected(session);
    case "arrange": return void arrange(desk);
    case "fit": {
      const bounds = scene.bounds(nodes.size > 0 ? nodes : undefined);
      if (bounds !== null) desk.viewport = fitted(bounds, desk.size, FIT_MARGIN, desk.corner);
      return undefined;
    }
    case "zoomIn": return void (desk.viewport = zoomedAt(desk.viewport, middle, 1.25));
    case "zoomOut": return void (desk.viewport = zoomedAt(desk.viewport, middle, 0.8));
    case "map": return preferences.setState({ showsMap: !preferences.getState().showsMap });
    case "run": return void session.run();
    case "runFirst": return void session.run(true);
    case "save": return saved === null ? session.askName() : void session.save(saved.name);
    case "leave": return open.path.length > 1 ? open.leaveTo(open.path.length - 2) : open.select(selectionOf({}));
    case "nudgeLeft": return nudge(desk, -NUDGE, 0);
    case "nudgeRight": return nudge(desk, NUDGE, 0);
    case "nudgeUp": return nudge(desk, 0, -NUDGE);
    case "nudgeDown": return nudge(desk, 0, NUDGE);
  }
}

function removeSelected({ session }: Desk): void {
  const { open } = session.store.getState();
  const { selection } = open;
  if (isEmptySelection(selection)) return;
  const graph = open.graph.id;
  open.edit("Delete", (edit) => {
    removeNodes(edit, graph, selection.nodes);
    for (const id of selection.links) removeLink(edit, graph, id);
    for (const id of selection.reroutes) removeReroute(edit, graph, id);
    for (const id of selection.groups) removeGroup(edit, graph, id);
  });
}

/** New places for the selected nodes, or for all; the layout engine is loaded at the first use. */
async function arrange({ session, scene }: Desk): Promise<void> {
  const { open } = session.store.getState();
  const { document, graph } = open;
  const { nodes } = open.selection;
  const { layered } = await import("./layout_engine");
  const places = await arranged(scene, layered, nodes.size > 1 ? nodes : undefined);
  // Somebody may have edited meanwhile: what was laid out is not there any more.
  if (open.document === document) open.edit("Arrange", (edit) => moveNodes(edit, graph.id, places));
}

/** By a little, or to the next line of the grid where things are put on it. */
function nudge({ session, scene }: Desk, dx: number, dy: number): void {
  const { open } = session.store.getState();
  const { grid, snapsToGrid } = preferences.getState();
  const stepped = (from: number, by: number) =>
    by === 0 || !snapsToGrid ? from + by : (by > 0 ? Math.floor(from / grid) + 1 : Math.ceil(from / grid) - 1) * grid;
  const ids = [...open.selection.nodes].filter((id) => !scene.isPinned(id));
  if (ids.length === 0) return;
  const places = new Map(ids.map((id) => {
    const { x, y } = positionOf(open.graph.nodes.byId.get(id) ?? {});
    return [id, { x: stepped(x, dx), y: stepped(y, dy) }] as const;
  }));
  open.edit("Move", (edit) => moveNodes(edit, open.graph.id, places), { merge: "nudge" });
}
