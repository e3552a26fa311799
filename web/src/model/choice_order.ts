/** The choices of a list as people see them: those that match what they typed, favourites first. */

import { fileChoices, type InputSpec } from "./catalog";

export interface ChoiceOrder {
  readonly query: string;
  /** Choices with a star. */
  readonly starred: ReadonlySet<string>;
  /** Offered before all others while nothing is typed. */
  readonly nearest: string | null;
}

/** Choices that have every word of the query: those with a star first, then those that begin with it. */
export function orderedChoices(choices: readonly string[], { query, starred, nearest }: ChoiceOrder): readonly string[] {
  const words = query.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const first = words[0] ?? "";
  const rank = (name: string) =>
    name === nearest && first === "" ? 0 : starred.has(name) ? 1 : first !== "" && name.toLowerCase().startsWith(first) ? 2 : 3;
  const found = choices.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
  return found.map((name) => [rank(name), name] as const).sort(([one], [other]) => one - other).map(([, name]) => name);
}

/** What the favourites of an input are kept under: the same files and the same names have the same everywhere. */
export function favouritesKey(spec: InputSpec): string {
  return fileChoices(spec)?.folder ?? spec.name;
}
