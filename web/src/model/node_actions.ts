/** What can be done with a node, as data for menus. Doing it is `edit` here or a command of the keyboard's. */

import type { Edit } from "./edit";
import { disconnectInput } from "./link_edits";
import { flagOf, inputsOf, isInstance, modeOf } from "./node_reading";
import { setColor, setTitle, toggleFlag, toggleMode, widgetSocket } from "./node_edits";
import { MODE, NOTE_TYPES, type GraphState, type NodeRecord } from "./records";
import { widgetsOf, type WidgetContext } from "./widgets";

export interface NodeAction {
  readonly id: string;
  readonly group: "state" | "look" | "widgets" | "edit";
  /** Whether it is on; null for what is no switch. */
  readonly isOn: boolean | null;
  /** The command of the keymap that does the same to everything selected; its key is shown. */
  readonly command: string | null;
  /** The change, as one step of undo; null where only the command does it. */
  readonly edit: ((edit: Edit) => void) | null;
  /** A colour to show beside the label. */
  readonly swatch?: string;
}

/** Colours of title and body, readable with the text colour that is picked by their luminance. */
export const NODE_COLORS = [
  { name: "red", title: "#542b31", body: "#3b2226" },
  { name: "amber", title: "#54401f", body: "#3b2f1b" },
  { name: "green", title: "#274a35", body: "#1f3527" },
  { name: "teal", title: "#1f474a", body: "#1a3335" },
  { name: "blue", title: "#2a4063", body: "#212f45" },
  { name: "violet", title: "#44356b", body: "#312849" },
  { name: "grey", title: "#3d424b", body: "#2c3037" },
] as const;

export function actionsFor(context: WidgetContext, graph: GraphState, node: NodeRecord): readonly NodeAction[] {
  const id = String(node.id);
  const plain = { isOn: null, command: null, edit: null };
  const mode = modeOf(node);
  const isNote = NOTE_TYPES.has(String(node.type));
  const flag = (name: string, command: string): NodeAction => ({
    id: name, group: "look", isOn: flagOf(node, name), command, edit: (edit) => toggleFlag(edit, graph.id, [id], name),
  });
  const runs: NodeAction[] = isNote ? [] : [
    {
      id: "bypass", group: "state", isOn: mode === MODE.bypassed, command: "bypass",
      edit: (edit) => toggleMode(edit, graph.id, [id], MODE.bypassed),
    },
    {
      id: "mute", group: "state", isOn: mode === MODE.muted, command: "mute",
      edit: (edit) => toggleMode(edit, graph.id, [id], MODE.muted),
    },
  ];
  return [
    ...runs,
    flag("collapsed", "collapse"),
    flag("pinned", "pin"),
    ...colorActions(graph, node, id),
    ...widgetActions(context, graph, node, id),
    ...(isInstance(node, context.document)
      ? [{ ...plain, id: "enter", group: "edit", command: "enter" } as const] : []),
    ...(typeof node.title === "string" && node.title !== "" ? [{
      ...plain, id: "resetTitle", group: "look",
      edit: (edit: Edit) => setTitle(edit, graph.id, id, ""),
    } as const] : []),
    { ...plain, id: "group", group: "edit", command: "group" },
    { ...plain, id: "dissolve", group: "edit", command: "dissolve" },
    { ...plain, id: "delete", group: "edit", command: "delete" },
  ];
}

function colorActions(graph: GraphState, node: NodeRecord, id: string): NodeAction[] {
  const own = NODE_COLORS.map(({ name, title, body }): NodeAction => ({
    id: `color:${name}`, group: "look", isOn: node.color === title, command: null, swatch: title,
    edit: (edit) => setColor(edit, graph.id, id, title, body),
  }));
  const none: NodeAction = {
    id: "color:none", group: "look", isOn: node.color === undefined, command: null,
    edit: (edit) => setColor(edit, graph.id, id, null, null),
  };
  return [...own, none];
}

/** Widgets whose file lists no socket get one; those that are linked give their link away. */
function widgetActions(context: WidgetContext, graph: GraphState, node: NodeRecord, id: string): NodeAction[] {
  return widgetsOf(context, graph, node).flatMap((view): NodeAction[] => {
    const { name, socket } = view;
    if (socket === null) {
      if (view.spec === null || view.place.kind !== "planned") return [];
      return [{
        id: `toInput:${name}`, group: "widgets", isOn: null, command: null,
        edit: (edit) => void widgetSocket(edit, graph.id, id, name, context.catalog),
      }];
    }
    if (!view.isLinked || inputsOf(node)[socket] === undefined) return [];
    return [{
      id: `toWidget:${name}`, group: "widgets", isOn: null, command: null,
      edit: (edit) => disconnectInput(edit, graph.id, { node: id, slot: socket }),
    }];
  });
}
