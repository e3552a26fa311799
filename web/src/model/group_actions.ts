/** What can be done with a group, as data for menus. */

import { removeGroup, setGroup } from "./group_edits";
import { NODE_COLORS, type NodeAction } from "./node_actions";
import type { GraphState, GroupId } from "./records";

/** Colours of frames: lighter than those of nodes, for only their edge and a breath of the ground is drawn. */
const FRAME_COLORS: { readonly [name: string]: string } = {
  Red: "#c8616c", Amber: "#c09040", Green: "#5aa174", Teal: "#4a9ea3", Blue: "#5f8bd0", Violet: "#8d78cc", Grey: "#8a93a3",
};

export function actionsForGroup(graph: GraphState, id: GroupId): readonly NodeAction[] {
  const group = graph.groups.byId.get(id);
  if (group === undefined) return [];
  const colors = NODE_COLORS.map(({ name }): NodeAction => {
    const color = FRAME_COLORS[name] as string;
    return {
      id: `color:${name.toLowerCase()}`, label: name, group: "look", isOn: group.color === color, command: null, swatch: color,
      edit: (edit) => setGroup(edit, graph.id, id, "color", color),
    };
  });
  return [...colors, {
    id: "ungroup", label: "Take the frame away", group: "edit", isOn: null, command: null,
    edit: (edit) => removeGroup(edit, graph.id, id),
  }];
}
