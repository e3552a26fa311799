/** English texts of parts of the side panels. */

export const PANELS_EN = {
  "gallery.beside": "Side by side",
  "queue.earlier": "One place earlier",
  "queue.later": "One place later",
  "run.small": "Smaller",
  "run.large": "Larger",
  "memory.open": "Memory",
  "memory.peak": "At most {size}",
  "memory.nodes": "What each node held at its peak",
  "memory.none": "No node held much.",
  "memory.device": "{device}: {used} of {total} in use after the job",
  "memory.network": "{size} kept, {moved} moved each time",
  "memory.more": "{count} more nodes",
  "template.missing": "Missing: {count}",
  "template.lacks": "Files this server does not have: {names}",
  "values.find": "Find a value",
  "values.onlyChanged": "Only changed values",
  "values.none": "No value fits.",
  "values.noneChanged": "Nothing was changed: all values are those of a new node.",
  "values.star": "Star for {name}",
  "values.starHint": "Values with a star come first",
  "values.reset": "Put {name} back",
  "values.resetTo": "Back to {value}",
  "empty.title": "This workflow is empty",
  "empty.template": "Start from a template",
  "empty.hint": "Or double-click the canvas to add a node, or drop a workflow or a picture anywhere.",
} as const satisfies Readonly<Record<string, string>>;

export type PanelTexts = { readonly [key in keyof typeof PANELS_EN]: string };
