/** How people want the page to be: kept in this browser, put on the page's root as attributes for the style sheet. */

import { createStore } from "zustand/vanilla";
import { chooseLanguage, LANGUAGES, languageOf, type Language } from "../i18n/catalogue";
import { COMMANDS, DEFAULT_KEYMAP, type CommandName, type Keymap } from "../interaction/keymap";

export const THEMES = ["system", "dark", "light", "contrast"] as const;
export const ACCENTS = ["blue", "teal", "violet", "amber", "rose"] as const;
/** The dots of the canvas lie on all of them. */
export const GRIDS = [8, 16, 32] as const;
export type Theme = (typeof THEMES)[number];
export type Accent = (typeof ACCENTS)[number];

export interface Preferences {
  readonly theme: Theme;
  readonly accent: Accent;
  readonly hasLessMotion: boolean;
  readonly language: Language;
  /** Chords of one's own; null takes a default away. */
  readonly keys: Readonly<Record<string, CommandName | null>>;
  readonly showsMap: boolean;
  /** Lines of the grid are this far apart, in world units. */
  readonly grid: number;
  readonly snapsToGrid: boolean;
  /** Choices with a star, by the folder of the files or the name of the input. */
  readonly favourites: Readonly<Record<string, readonly string[]>>;
}

const KEY = "atelier-preferences";

/** The defaults, until `applyPreferences` has read what is stored. */
export const preferences = createStore<Preferences>(() => readPreferences(null, []));

/** Reads what was stored, however old or broken. */
export function readPreferences(text: string | null, languages: readonly string[]): Preferences {
  const found = parsed(text);
  const oneOf = <T extends string>(list: readonly T[], value: unknown, otherwise: T): T =>
    list.includes(value as T) ? (value as T) : otherwise;
  const keys = Object.entries(typeof found.keys === "object" && found.keys !== null ? found.keys : {}).filter(
    (pair): pair is [string, CommandName | null] => pair[1] === null || COMMANDS.includes(pair[1] as CommandName),
  );
  return {
    theme: oneOf(THEMES, found.theme, "system"),
    accent: oneOf(ACCENTS, found.accent, "blue"),
    hasLessMotion: found.hasLessMotion === true,
    language: oneOf(Object.keys(LANGUAGES) as Language[], found.language, languageOf(languages)),
    keys: Object.fromEntries(keys),
    showsMap: found.showsMap !== false,
    grid: GRIDS.find((size) => size === found.grid) ?? 16,
    snapsToGrid: found.snapsToGrid === true,
    favourites: listsIn(found.favourites),
  };
}

function listsIn(value: unknown): Record<string, readonly string[]> {
  const entries = Object.entries(typeof value === "object" && value !== null ? value : {});
  return Object.fromEntries(entries.filter((pair): pair is [string, string[]] =>
    Array.isArray(pair[1]) && pair[1].length > 0 && pair[1].every((item) => typeof item === "string")));
}

/** A choice gets its star, or loses it; the newest comes last. */
export function withStar(favourites: Preferences["favourites"], key: string, name: string): Preferences["favourites"] {
  const own = favourites[key] ?? [];
  const next = own.includes(name) ? own.filter((item) => item !== name) : [...own, name];
  const { [key]: _, ...others } = favourites;
  return next.length === 0 ? others : { ...others, [key]: next };
}

function parsed(text: string | null): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** What this browser keeps; null for one that keeps nothing. */
export function localSettings(): Storage | null {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

/** The defaults with one's own chords over them. */
export function keymapOf(keys: Preferences["keys"]): Keymap {
  const own = Object.entries({ ...DEFAULT_KEYMAP, ...keys });
  return Object.fromEntries(own.filter((pair): pair is [string, CommandName] => pair[1] !== null));
}

/** Give a command one chord: its old ones go, and whoever had that chord loses it. */
export function withChord(keys: Preferences["keys"], name: CommandName, chord: string): Preferences["keys"] {
  const old = Object.entries(keymapOf(keys)).filter(([, command]) => command === name).map(([each]) => [each, null]);
  return { ...keys, ...Object.fromEntries(old), [chord]: name };
}

/** Put preferences on the page, now and at every change. Returns the function that ends that. */
export function applyPreferences(root: HTMLElement): () => void {
  const apply = (state: Preferences) => {
    root.dataset.accent = state.accent;
    // Last, for the canvas reads its colours again when this attribute is set.
    root.dataset.theme = state.theme;
    root.dataset.motion = state.hasLessMotion ? "less" : "normal";
    root.lang = state.language;
  };
  preferences.setState(readPreferences(localSettings()?.getItem(KEY) ?? null, navigator.languages));
  apply(preferences.getState());
  void chooseLanguage(preferences.getState().language);
  return preferences.subscribe((state, before) => {
    apply(state);
    if (state.language !== before.language) void chooseLanguage(state.language);
    try {
      localSettings()?.setItem(KEY, JSON.stringify(state));
    } catch {
      // A browser that keeps nothing still shows the page as chosen.
    }
  });
}
