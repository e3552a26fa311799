/** What people do, as data. The canvas turns browser events into these; screen places are pixels from its corner. */

import type { Point } from "../geometry/shapes";

export interface Modifiers {
  readonly shift: boolean;
  /** Control, or command on a Mac. */
  readonly ctrl: boolean;
  readonly alt: boolean;
}
export const NO_MODIFIERS: Modifiers = { shift: false, ctrl: false, alt: false };

export type PointerInput =
  | {
      readonly kind: "down" | "move" | "up";
      readonly pointer: number;
      readonly device: "mouse" | "touch" | "pen";
      /** 0 main, 1 middle, 2 second. */
      readonly button: number;
      readonly screen: Point;
      readonly modifiers: Modifiers;
    }
  | { readonly kind: "cancel"; readonly pointer: number }
  | { readonly kind: "double"; readonly screen: Point; readonly modifiers: Modifiers }
  | { readonly kind: "wheel"; readonly screen: Point; readonly dx: number; readonly dy: number; readonly modifiers: Modifiers }
  | { readonly kind: "space"; readonly isDown: boolean }
  | { readonly kind: "escape" };

export interface KeyInput {
  /** As `KeyboardEvent.key`; letters in lower case. */
  readonly key: string;
  readonly modifiers: Modifiers;
  /** Whether a text field has the keyboard. */
  readonly isTyping: boolean;
}
