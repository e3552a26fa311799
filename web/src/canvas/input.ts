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

/** Whether an event belongs to a control of a node: what is inside of `data-own` keeps its own pointer. */
export function isOwn(event: Event): boolean {
  return event.target instanceof Element && event.target.closest("[data-own]") !== null;
}

/** A field that has the keyboard and more text than room scrolls by itself. */
function scrollsItself(event: WheelEvent): boolean {
  const field = event.target instanceof Element ? event.target.closest("[data-scrolls]") : null;
  return field !== null && !event.ctrlKey && field.contains(document.activeElement) && field.scrollHeight > field.clientHeight;
}

/** Hands pointer and wheel events of an element to `take`; returns the function that ends it. */
export function listen(element: HTMLElement, take: (input: PointerInput) => void): () => void {
  const end = new AbortController();
  const options = { signal: end.signal };
  // Read when a gesture begins: asking for layout at every move would make the browser do it at every move.
  let box = { left: 0, top: 0 };
  const place = (event: MouseEvent, isFresh = true) => {
    if (isFresh) box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const pointer = (kind: "down" | "move" | "up") => (event: PointerEvent) => {
    if (kind === "down") {
      if (isOwn(event) && event.button === 0) return;
      // The middle button would begin to scroll.
      if (event.button === 1) event.preventDefault();
      element.focus({ preventScroll: true });
      element.setPointerCapture(event.pointerId);
    }
    const device = event.pointerType === "touch" || event.pointerType === "pen" ? event.pointerType : "mouse";
    take({
      kind, pointer: event.pointerId, device, button: Math.max(0, event.button), screen: place(event, kind === "down"),
      modifiers: modifiersOf(event),
    });
  };
  element.addEventListener("pointerdown", pointer("down"), options);
  element.addEventListener("pointermove", pointer("move"), options);
  element.addEventListener("pointerup", pointer("up"), options);
  element.addEventListener("pointercancel", (event) => take({ kind: "cancel", pointer: event.pointerId }), options);
  element.addEventListener("dblclick", (event) => {
    if (!isOwn(event)) take({ kind: "double", screen: place(event), modifiers: modifiersOf(event) });
  }, options);
  element.addEventListener("wheel", (event) => {
    if (scrollsItself(event)) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    take({
      kind: "wheel", screen: place(event), dx: event.deltaX * unit, dy: event.deltaY * unit,
      modifiers: modifiersOf(event),
    });
  }, { ...options, passive: false });
  return () => end.abort();
}
