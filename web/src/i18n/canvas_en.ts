/** English texts of the tools on the canvas and of the widgets. */

export const CANVAS_EN = {
  "map.label": "Map",
  "map.about": "Map of the graph: arrows move the picture, plus and minus zoom, Home shows everything",
  "map.show": "Show the map",
  "map.hide": "Hide the map",
  "choice.star": "Give it a star",
  "choice.unstar": "Take its star away",
  "choice.isStarred": "favourite",
  "choice.starKeys": "Alt+Enter: star",
  "command.map": "Show or hide the map",
} as const satisfies Readonly<Record<string, string>>;

export type CanvasTexts = { readonly [key in keyof typeof CANVAS_EN]: string };
