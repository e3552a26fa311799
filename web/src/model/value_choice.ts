/** Which values of a node are shown, and in which order: those that words find, changed ones alone, favourites first. */

import type { FileLister } from "./catalog";
import { sameJson, type Json } from "./json";
import { defaultOf, editorText } from "./widget_plan";
import type { WidgetView } from "./widgets";

export interface ValueChoice {
  readonly query: string;
  readonly onlyChanged: boolean;
  /** Names of values with a star. */
  readonly starred: ReadonlySet<string>;
}

/** Every word has to be in the name, the label or the value. */
export function chosenValues(
  views: readonly WidgetView[], { query, onlyChanged, starred }: ValueChoice, listFiles: FileLister,
): readonly WidgetView[] {
  const words = query.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const found = views.filter((view) => {
    if (onlyChanged && !isChanged(view, listFiles)) return false;
    const text = `${view.name} ${view.label} ${editorText(view.value)}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return [...found.filter(({ name }) => starred.has(name)), ...found.filter(({ name }) => !starred.has(name))];
}

/** Whether a value is another than a new node has. Nobody knows that of nodes of unknown types: theirs count as changed. */
export function isChanged(view: WidgetView, listFiles: FileLister): boolean {
  const { spec, isLinked } = view;
  return !isLinked && (spec === null || !sameJson(view.value, freshValue(view, listFiles)));
}

/** What a new node has; undefined where nobody knows. */
export function freshValue({ spec }: WidgetView, listFiles: FileLister): Json | undefined {
  return spec === null ? undefined : defaultOf(spec, listFiles);
}
