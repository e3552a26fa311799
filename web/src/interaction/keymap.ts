/** Keys → names of commands. The defaults are ComfyUI's where it has one. */

import type { KeyInput } from "./events";

export const COMMANDS = [
  "undo", "redo", "selectAll", "delete", "dissolve", "bypass", "mute", "collapse", "pin", "group", "subgraph", "unpack", "enter", "arrange", "fit", "zoomIn",
  "zoomOut", "map", "run", "runFirst", "save", "leave", "nudgeLeft", "nudgeRight", "nudgeUp", "nudgeDown",
] as const;
export type CommandName = (typeof COMMANDS)[number];

/** Chord ("ctrl+shift+z") → command. */
export type Keymap = { readonly [chord: string]: CommandName };

export const DEFAULT_KEYMAP: Keymap = {
  "ctrl+z": "undo",
  "ctrl+y": "redo",
  "ctrl+shift+z": "redo",
  "ctrl+a": "selectAll",
  delete: "delete",
  backspace: "delete",
  "ctrl+delete": "dissolve",
  "ctrl+b": "bypass",
  "ctrl+m": "mute",
  "alt+c": "collapse",
  p: "pin",
  "ctrl+g": "group",
  "ctrl+shift+e": "subgraph",
  "ctrl+]": "enter",
  "ctrl+shift+a": "arrange",
  ".": "fit",
  "alt+=": "zoomIn",
  "alt+-": "zoomOut",
  "alt+m": "map",
  "ctrl+enter": "run",
  "ctrl+shift+enter": "runFirst",
  "ctrl+s": "save",
  escape: "leave",
  arrowleft: "nudgeLeft",
  arrowright: "nudgeRight",
  arrowup: "nudgeUp",
  arrowdown: "nudgeDown",
};

/** These work while somebody types; everything else belongs to the text field. */
const WHILE_TYPING: ReadonlySet<CommandName> = new Set(["run", "runFirst", "save"]);

export function chordOf(input: KeyInput): string {
  const { ctrl, shift, alt } = input.modifiers;
  return [ctrl && "ctrl", alt && "alt", shift && "shift", input.key.toLowerCase()].filter(Boolean).join("+");
}

export function commandFor(input: KeyInput, keymap: Keymap): CommandName | null {
  const name = Object.hasOwn(keymap, chordOf(input)) ? keymap[chordOf(input)] : undefined;
  if (name === undefined || (input.isTyping && !WHILE_TYPING.has(name))) return null;
  return name;
}
