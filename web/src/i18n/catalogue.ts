/** Texts of the page by key. English is built in, other languages load when they are chosen. */

import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";
import { EN, type TextKey, type Texts } from "./en";

export type { TextKey, Texts };
export const LANGUAGES = { en: "English", zh: "中文", ru: "Русский" } as const;
export type Language = keyof typeof LANGUAGES;
export type Say = (key: TextKey, values?: Readonly<Record<string, string | number>>) => string;

interface Chosen {
  readonly language: Language;
  readonly texts: Texts;
  readonly say: Say;
}

const store = createStore<Chosen>(() => ({ language: "en", texts: EN, say: sayIn(EN) }));

/** `{name}` in a text is replaced by the value of that name. */
export function sayIn(texts: Texts): Say {
  return (key, values = {}) =>
    texts[key].replace(/\{(\w+)\}/g, (whole, name: string) => (Object.hasOwn(values, name) ? String(values[name]) : whole));
}

export async function loadTexts(language: Language): Promise<Texts> {
  if (language === "zh") return (await import("./zh")).ZH;
  if (language === "ru") return (await import("./ru")).RU;
  return EN;
}

export async function chooseLanguage(language: Language): Promise<void> {
  const texts = await loadTexts(language);
  store.setState({ language, texts, say: sayIn(texts) });
}

/** The language of the browser, where there is a catalogue for it. */
export function languageOf(tags: readonly string[]): Language {
  const known = tags.map((tag) => tag.slice(0, 2)).find((tag) => Object.hasOwn(LANGUAGES, tag));
  return (known as Language | undefined) ?? "en";
}

/** The function that says texts; components show the new language when it changes. */
export function useSay(): Say {
  return useStore(store, (state) => state.say);
}

/** The same outside components. */
export function sayNow(): Say {
  return store.getState().say;
}

/** Calls back when the page speaks another language. */
export function watchLanguage(changed: () => void): () => void {
  return store.subscribe(changed);
}
