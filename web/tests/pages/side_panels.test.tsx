// @vitest-environment happy-dom
import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { useSidePanels } from "../../src/app/side_panels";

const page = (window as unknown as { happyDOM: { setViewport: (size: { width: number; height: number }) => void } }).happyDOM;

/** What is open in a window this wide, after `acts`. */
function panels(width: number) {
  page.setViewport({ width, height: 800 });
  const { result } = renderHook(() => useSidePanels());
  return {
    shown: () => [result.current.panel, result.current.hasProperties],
    open: (name: "nodes" | "queue" | null) => act(() => result.current.showPanel(name)),
    properties: (isShown: boolean) => act(() => result.current.showProperties(isShown)),
  };
}

afterEach(cleanup);

it("a panel and the properties stand side by side where there is room", () => {
  const wide = panels(1280);
  expect(wide.shown()).toEqual([null, true]);
  wide.open("nodes");
  expect(wide.shown()).toEqual(["nodes", true]);
});

it("on a phone neither is open at first, and opening one closes the other, which it would lie under", () => {
  const phone = panels(390);
  expect(phone.shown()).toEqual([null, false]);
  phone.properties(true);
  phone.open("queue");
  expect(phone.shown()).toEqual(["queue", false]);
  phone.properties(true);
  expect(phone.shown()).toEqual([null, true]);
});

it("a window that becomes too narrow closes the properties over its graph", () => {
  const shrinking = panels(1280);
  // happy-dom tells of a change only after it has seen the first width.
  act(() => page.setViewport({ width: 1100, height: 800 }));
  expect(shrinking.shown()).toEqual([null, true]);
  act(() => page.setViewport({ width: 390, height: 844 }));
  expect(shrinking.shown()).toEqual([null, false]);
});
