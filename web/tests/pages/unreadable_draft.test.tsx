// @vitest-environment happy-dom
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Autosave } from "../../src/app/autosave";
import type { Draft, Snapshot } from "../../src/files/drafts";
import UnreadableDraft from "../../src/panels/unreadable_draft";
import { FakeLocks } from "../app/fake_locks";
import { FakeServer } from "../fake_server";

const BROKEN = '{"nodes": [{"id": 1, <img src=x>';
const SOUND = '{"nodes":[{"id":1,"type":"Note","pos":[0,0]}],"links":[],"version":0.4}';

class FakeDrafts {
  readonly snapshots: Snapshot[] = [];
  kept: readonly Draft[];

  constructor(texts: readonly string[]) {
    this.kept = texts.map((text, order) => ({
      tab: `t${order}`, window: "gone", title: "", saved: { name: `work/${order}`, etag: '"1"' }, text, order, isChanged: false, at_ms: 0,
    }));
  }

  all() {
    return Promise.resolve(this.kept);
  }

  keep(_window: string, drafts: readonly Draft[]) {
    this.kept = drafts;
    return Promise.resolve();
  }

  snapshot(entry: Snapshot) {
    this.snapshots.push(entry);
    return Promise.resolve();
  }
}

async function restored(texts: readonly string[]) {
  sessionStorage.clear();
  new FakeLocks().install();
  const drafts = new FakeDrafts(texts);
  const server = new FakeServer();
  await new Autosave(server.session, drafts).start();
  await new Promise((resolve) => setTimeout(resolve));
  return { ...server, session: server.session, drafts, server };
}

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

describe("a draft that cannot be read", () => {
  it("is a tab among the others that keeps its text and its name, and is never saved over the file", async () => {
    const { session, drafts, server } = await restored([SOUND, BROKEN]);
    const { tabs } = session.store.getState();
    expect(tabs.map(({ title, saved, unreadable }) => [title, saved?.name, unreadable?.text])).toEqual([
      ["", "work/0", undefined], ["work/1", undefined, BROKEN],
    ]);
    expect(drafts.kept.map(({ text, saved }) => [text === BROKEN, saved?.name])).toEqual([[false, "work/0"], [true, "work/1"]]);
    session.switchTo("t1");
    await session.save("work/1");
    expect(server.changes).toEqual([]);
    expect(session.store.getState().notice?.isError).toBe(true);
    await session.openValue(JSON.parse(SOUND));
    expect(session.store.getState().tabs.length).toBe(3);
  });

  it("says so, shows the text as text and gives it as a file; closing the tab leaves it in the history", async () => {
    const { session, drafts } = await restored([BROKEN]);
    const [tab] = session.store.getState().tabs;
    render(<UnreadableDraft session={session} tab={tab!} />);
    expect(screen.getByRole("alert").textContent).toContain("work/0 cannot be read");
    expect(document.querySelector("img")).toBeNull();
    const given: [string, Blob][] = [];
    let data = new Blob();
    vi.spyOn(URL, "createObjectURL").mockImplementation((value) => {
      data = value as Blob;
      return "blob:here";
    });
    vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function click(this: HTMLAnchorElement) {
      given.push([this.download, data]);
    });
    await userEvent.click(screen.getByRole("button", { name: "Download the text" }));
    expect([given[0]?.[0], await given[0]?.[1].text()]).toEqual(["0.txt", BROKEN]);
    await userEvent.click(screen.getByRole("button", { name: "Close the tab" }));
    expect(session.store.getState().tabs.map(({ unreadable }) => unreadable)).toEqual([null]);
    expect(drafts.snapshots.at(-1)).toMatchObject({ title: "work/0", text: BROKEN });
  });
});
