import { describe, expect, it } from "vitest";
import { createStore } from "zustand/vanilla";
import { sharedSettings } from "../../src/server/shared_settings";
import { readPreferences, type Preferences } from "../../src/settings/preferences";
import { PreferenceSharing, sharing } from "../../src/settings/shared_preferences";
import { FakeServer, Reply } from "../fake_server";

/** A server that merges settings, and browsers that open it; time passes only when told. */
function world() {
  const stored: Record<string, unknown> = {};
  const server = new FakeServer()
    .on("GET /api/settings", () => stored)
    .on("POST /api/settings", ({ body }) => {
      Object.assign(stored, body);
      return new Reply(204);
    });
  const clock = { now: 1000 };
  const browser = (kept = new Map<string, string>()) => {
    const store = createStore<Preferences>(() => readPreferences(null, ["en"]));
    const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
    return { store, kept, sharing: new PreferenceSharing(store, { shared: sharedSettings(server.client), storage, nowMs: () => clock.now }) };
  };
  return { stored, server, clock, browser };
}

describe("preferences of one server", () => {
  it("are those of the last browser that changed them, each by itself", async () => {
    const { stored, clock, browser } = world();
    const [one, two] = [browser(), browser()];
    one.store.setState({ theme: "light", accent: "rose" });
    await one.sharing.meet();
    clock.now = 2000;
    two.store.setState({ accent: "teal", keys: { x: "run" } });
    await two.sharing.meet();
    await one.sharing.meet();
    for (const { store } of [one, two]) expect(store.getState()).toMatchObject({ theme: "light", accent: "teal", keys: { x: "run" } });
    expect(stored["Atelier.theme"]).toEqual({ value: "light", at_ms: 1000 });
    expect(Object.keys(stored).sort()).toEqual(["Atelier.accent", "Atelier.keys", "Atelier.theme"]);
  });

  it("are kept while the server is away and sent when it is back, but for what was changed elsewhere since", async () => {
    const { server, clock, browser } = world();
    const [one, two] = [browser(), browser()];
    server.isAway = true;
    one.store.setState({ theme: "dark", hasLessMotion: true });
    await one.sharing.meet();
    expect([one.store.getState().theme, sharing.getState().isShared]).toEqual(["dark", false]);
    const again = browser(one.kept);
    again.store.setState({ theme: "dark", hasLessMotion: true });

    server.isAway = false;
    clock.now = 3000;
    two.store.setState({ theme: "contrast" });
    await two.sharing.meet();
    clock.now = 2500;
    await one.sharing.meet();
    await two.sharing.meet();
    for (const { store } of [one, two]) expect(store.getState()).toMatchObject({ theme: "contrast", hasLessMotion: true });
    expect(sharing.getState().isShared).toBe(true);
  });

  it("win over a clock that is ahead once they are changed again", async () => {
    const { stored, browser } = world();
    stored["Atelier.theme"] = { value: "light", at_ms: 9e12 };
    const one = browser();
    await one.sharing.meet();
    one.store.setState({ theme: "dark" });
    await one.sharing.meet();
    expect(stored["Atelier.theme"]).toEqual({ value: "dark", at_ms: 9e12 + 1 });
  });

  it("are never what nobody can choose, and a browser that never changed any sends none", async () => {
    const { stored, server, browser } = world();
    Object.assign(stored, {
      "Atelier.theme": { value: "<script>", at_ms: 5 }, "Atelier.keys": { value: { x: "rm" }, at_ms: 5 },
      "Atelier.accent": "rose", "Comfy.Theme": { value: "pink", at_ms: 5 },
    });
    const one = browser();
    await one.sharing.meet();
    expect(one.store.getState()).toEqual(readPreferences(null, ["en"]));
    expect(server.changes).toEqual([]);
  });
});
