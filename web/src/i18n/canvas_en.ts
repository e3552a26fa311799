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
  "crop.title": "Crop the picture",
  "crop.shape": "Shape",
  "crop.free": "Free",
  "crop.own": "As the picture",
  "crop.turn": "Upright or across",
  "crop.x": "Left",
  "crop.y": "Top",
  "crop.width": "Width",
  "crop.height": "Height",
  "crop.all": "The whole picture",
  "crop.use": "Use this part",
  "crop.about": "Part from {x}, {y}, {width} by {height} pixels: arrows move it, with Alt they resize it, Shift for larger steps",
  "mask.unsaved": "What you painted is not used yet.",
  "mask.keep": "Go on painting",
  "mask.discard": "Discard it",
  "command.map": "Show or hide the map",
} as const satisfies Readonly<Record<string, string>>;

export type CanvasTexts = { readonly [key in keyof typeof CANVAS_EN]: string };
