/** Browser events → the events of `interaction`. */

import type { Modifiers, PointerInput } from "../interaction/events";

const IS_MAC = typeof navigator !== "undefined" && navigator.platform.startsWith("Mac");

export function modifiersOf(event: MouseEvent | KeyboardEvent): Modifiers {
  return { shift: event.shiftKey, ctrl: event.ctrlKey || (IS_MAC && event.metaKey), alt: event.altKey };
}

export function isTyping(event: KeyboardEvent): boolean {
  const { target } = event;
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Hands pointer and wheel events of an element to `take`; returns the function that ends it. */
export function listen(element: HTMLElement, take: (input: PointerInput) => void): () => void {
  const end = new AbortController();
  const options = { signal: end.signal };
  const place = (event: MouseEvent) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const pointer = (kind: "down" | "move" | "up") => (event: PointerEvent) => {
    if (kind === "down") element.setPointerCapture(event.pointerId);
    const device = event.pointerType === "touch" || event.pointerType === "pen" ? event.pointerType : "mouse";
    take({
      kind, pointer: event.pointerId, device, button: Math.max(0, event.button), screen: place(event),
      modifiers: modifiersOf(event),
    });
  };
  element.addEventListener("pointerdown", pointer("down"), options);
  element.addEventListener("pointermove", pointer("move"), options);
  element.addEventListener("pointerup", pointer("up"), options);
  element.addEventListener("pointercancel", (event) => take({ kind: "cancel", pointer: event.pointerId }), options);
  element.addEventListener("dblclick", (event) =>
    take({ kind: "double", screen: place(event), modifiers: modifiersOf(event) }), options);
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    take({
      kind: "wheel", screen: place(event), dx: event.deltaX * unit, dy: event.deltaY * unit,
      modifiers: modifiersOf(event),
    });
  }, { ...options, passive: false });
  return () => end.abort();
}
