// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { livingWindows, ownWindow } from "../../src/app/own_window";
import { FakeLocks } from "./fake_locks";

describe("the id of a window", () => {
  const channels: BroadcastChannel[] = [];
  beforeEach(() => sessionStorage.setItem("atelier-window", "first"));
  afterEach(() => {
    vi.useRealTimers();
    dispatchEvent(new Event("pagehide"));
    for (const channel of channels.splice(0)) channel.close();
  });

  /** The window this one is a copy of. */
  function livingWindow(id: string) {
    const channel = new BroadcastChannel("atelier-windows");
    channels.push(channel);
    channel.addEventListener("message", ({ data }: MessageEvent<{ asked?: string }>) => data.asked === id && channel.postMessage({ alive: id }));
  }

  it("is kept where nobody else has it", async () => {
    const locks = new FakeLocks().install();
    expect(await ownWindow()).toBe("first");
    expect((await locks.query()).held).toEqual([{ name: "atelier-window-first" }]);
    expect(await livingWindows()).toEqual(new Set(["first"]));
  });
  it("is kept when the page before lets it go only after a while", async () => {
    const locks = new FakeLocks("atelier-window-first").install();
    const found = ownWindow();
    setTimeout(() => locks.release("atelier-window-first"), 50);
    expect(await found).toBe("first");
    expect(sessionStorage.getItem("atelier-window")).toBe("first");
  });
  it("is another in a copy of a window, which is not waited for", async () => {
    livingWindow("first");
    new FakeLocks("atelier-window-first").install();
    const id = await ownWindow();
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(sessionStorage.getItem("atelier-window")).toBe(id);
    expect(await livingWindows()).toEqual(new Set(["first", id]));
  });
  it("is another when whoever has it neither goes nor answers", async () => {
    vi.useFakeTimers();
    new FakeLocks("atelier-window-first").install();
    const found = ownWindow();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await found).not.toBe("first");
  });
  it("answers a copy of itself until the page is left", async () => {
    new FakeLocks().install();
    await ownWindow();
    const heard: unknown[] = [];
    const copy = new BroadcastChannel("atelier-windows");
    channels.push(copy);
    copy.addEventListener("message", ({ data }) => heard.push(data));
    copy.postMessage({ asked: "first" });
    await vi.waitFor(() => expect(heard).toEqual([{ alive: "first" }]), { timeout: 30_000 });
    dispatchEvent(new Event("pagehide"));
    copy.postMessage({ asked: "first" });
    await new Promise((then) => setTimeout(then, 50));
    expect(heard).toEqual([{ alive: "first" }]);
  });
});
