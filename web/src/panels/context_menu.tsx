/** The menu of what was clicked on the canvas. */

import { Menu } from "@base-ui/react/menu";
import { useMemo, type ReactNode } from "react";
import type { MenuRequest } from "../app/requests";
import type { Session } from "../app/session";
import { saveBlueprint } from "../app/subgraph_commands";
import { useSay, type TextKey } from "../i18n/catalogue";
import type { CommandName } from "../interaction/keymap";
import { removeGroup, setGroup } from "../model/group_edits";
import { addReroute, removeLink, removeReroute } from "../model/link_edits";
import { actionsFor, NODE_COLORS } from "../model/node_actions";
import { setColor, setTitle } from "../model/node_edits";
import { isInstance, titleOf, typeOf } from "../model/node_reading";
import { ROOT, type GraphId, type NodeId } from "../model/records";
import { keymapOf, preferences } from "../settings/preferences";
import { MENU_ITEM, MENU_POPUP } from "./top_bar";

const NODE_COMMANDS: readonly CommandName[] = ["bypass", "mute", "collapse", "pin", "group", "subgraph", "arrange", "dissolve", "delete"];
const SUBGRAPH_COMMANDS: readonly CommandName[] = ["enter", "unpack"];
const GRAPH_COMMANDS: readonly CommandName[] = ["selectAll", "arrange", "fit", "undo", "redo"];

interface MenuProps {
  readonly session: Session;
  readonly request: MenuRequest;
  readonly place: { readonly x: number; readonly y: number };
  readonly onRename: (name: string, done: (name: string) => void) => void;
  readonly onInterface: (graph: GraphId) => void;
  readonly onClose: () => void;
}

export default function ContextMenu({ session, request, place, onRename, onInterface, onClose }: MenuProps) {
  const anchor = useMemo(() => ({ getBoundingClientRect: () => new DOMRect(place.x, place.y, 0, 0) }), [place]);
  return (
    <Menu.Root open onOpenChange={(isOpen) => !isOpen && onClose()}>
      <Menu.Portal>
        <Menu.Positioner anchor={anchor} side="bottom" align="start" className="z-50">
          <Menu.Popup className={MENU_POPUP}><Items session={session} request={request} onRename={onRename} onInterface={onInterface} /></Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}

function Items({ session, request, onRename, onInterface }: Omit<MenuProps, "place" | "onClose">): ReactNode {
  const say = useSay();
  const { open, catalog } = session.store.getState();
  const keep = (id: NodeId, name: string) => saveBlueprint(session, id, name).catch((error: unknown) =>
    session.tell(error));
  const { hit, at, screen } = request;
  const graph = open.graph.id;
  const chords = new Map(Object.entries(keymapOf(preferences.getState().keys)).map(([chord, name]) => [name, chord]));
  const item = (text: string, act: () => void, keys = "") => (
    <Menu.Item key={text} className={MENU_ITEM} onClick={act}>{text}<span className="text-xs text-quiet">{keys}</span></Menu.Item>
  );
  const command = (name: CommandName) => item(say(`command.${name}` as TextKey), () => session.desk?.perform(name), chords.get(name));
  switch (hit.kind) {
    case "node": case "socket": {
      const id = hit.kind === "node" ? hit.id : hit.node;
      const node = open.graph.nodes.byId.get(id);
      const title = typeof node?.title === "string" ? node.title : "";
      return (
        <>
          {item(say("context.rename"), () => onRename(title, (name) => open.edit("Title", (edit) => setTitle(edit, graph, id, name))))}
          <div role="group" aria-label={say("properties.color")} className="flex gap-1 px-2 py-1">
            {NODE_COLORS.map(({ name, title: color, body }) => (
              <Menu.Item
                key={name} aria-label={say(`color.${name}`)} title={say(`color.${name}`)} style={{ background: color }}
                className="size-5 rounded-full border-2 border-line outline-none data-highlighted:border-accent"
                onClick={() => open.edit("Colour", (edit) => setColor(edit, graph, id, color, body))}
              />
            ))}
            <Menu.Item
              aria-label={say("properties.noColor")} onClick={() => open.edit("Colour", (edit) => setColor(edit, graph, id, null, null))}
              className="flex size-5 items-center justify-center rounded-full border-2 border-line text-xs text-quiet outline-none data-highlighted:border-accent"
            >
              ×
            </Menu.Item>
          </div>
          {node !== undefined && isInstance(node, open.document) && (
            <>
              {SUBGRAPH_COMMANDS.map(command)}
              {item(say("subgraph.interface"), () => onInterface(typeOf(node)))}
              {item(say("blueprint.save"), () => onRename(titleOf(node, catalog, open.document), (name) => void (name !== "" && keep(id, name))))}
            </>
          )}
          {item(say("context.runTo"), () => void session.run(false, { way: "to", node: id, isRoot: graph === ROOT }))}
          {item(say("context.runFrom"), () => void session.run(false, { way: "after", node: id, isRoot: graph === ROOT }))}
          {NODE_COMMANDS.map(command)}
          {node !== undefined && actionsFor(session.contextOf(open.document), open.graph, node).map((action) => {
            const [kind, name = ""] = action.id.split(/:(.*)/s);
            const { edit: change } = action;
            if (change === null || (kind !== "toInput" && kind !== "toWidget")) return null;
            return item(say(kind === "toInput" ? "context.toInput" : "context.toWidget", { name }), () => open.edit("Socket", change));
          })}
        </>
      );
    }
    case "link":
      return (
        <>
          {item(say("context.addReroute"), () => open.edit("Reroute", (edit) => void addReroute(edit, graph, hit.id, at, hit.stretch)))}
          {item(say("context.removeLink"), () => open.edit("Unlink", (edit) => removeLink(edit, graph, hit.id)))}
        </>
      );
    case "reroute":
      return item(say("context.removePoint"), () => open.edit("Remove point", (edit) => removeReroute(edit, graph, hit.id)));
    case "group": {
      const title = open.graph.groups.byId.get(hit.id)?.title;
      return (
        <>
          {item(say("context.add"), () => session.openSearch?.({ at, screen }))}
          {item(say("context.rename"), () => onRename(typeof title === "string" ? title : "", (name) =>
            open.edit("Title", (edit) => setGroup(edit, graph, hit.id, "title", name))))}
          {item(say("context.removeGroup"), () => open.edit("Ungroup", (edit) => removeGroup(edit, graph, hit.id)))}
        </>
      );
    }
    case "void":
      return <>{item(say("context.add"), () => session.openSearch?.({ at, screen }))}{GRAPH_COMMANDS.map(command)}</>;
  }
}
