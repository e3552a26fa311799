// @vitest-environment happy-dom
import { cleanup, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Autosave } from "../../src/app/autosave";
import type { Session } from "../../src/app/session";
import { Banners } from "../../src/panels/banner";
import { FakeLocks } from "../app/fake_locks";
import { FakeServer, Reply } from "../fake_server";

const FLOW = { nodes: [{ id: 1, type: "Note", pos: [0, 0] }], links: [], version: 0.4 };

/** The page of a window of its own that shows a saved file. */
async function windowWith(name: string): Promise<{ session: Session; page: HTMLElement }> {
  sessionStorage.clear();
  const { session } = new FakeServer().on(`GET /workflows/${name}`, () => new Reply(200, FLOW, { ETag: '"1"' }));
  const page = render(<Banners session={session} />).container;
  const drafts = { all: () => Promise.resolve([]), keep: () => Promise.resolve(), snapshot: () => Promise.resolve() };
  await new Autosave(session, drafts).start(name);
  expect(session.store.getState().saved?.name).toBe(name);
  return { session, page };
}

beforeEach(() => void new FakeLocks().install());
afterEach(cleanup);

it("two windows with one file both say so until somebody closes the notice, and a window with another file says nothing", async () => {
  const [one, other] = [await windowWith("harbor"), await windowWith("canal")];
  expect(screen.queryAllByRole("alert")).toEqual([]);
  const two = await windowWith("harbor");
  for (const { page } of [one, two]) {
    const alert = await within(page).findByRole("alert");
    expect(alert.textContent).toBe("harbor is open in another tab of this browser.");
  }
  await userEvent.click(within(one.page).getByRole("button", { name: "Close" }));
  expect([one, other, two].map(({ page }) => within(page).queryAllByRole("alert").length)).toEqual([0, 0, 1]);
  expect([one, other, two].map(({ session }) => session.store.getState().elsewhere)).toEqual([null, null, "harbor"]);
});

it("the notice goes when the last other window has closed the file", async () => {
  const [one, two, three] = [await windowWith("lagoon"), await windowWith("lagoon"), await windowWith("lagoon")];
  await within(one.page).findByRole("alert");
  two.session.closeTab(two.session.store.getState().active);
  await new Promise((then) => void setTimeout(then, 50));
  expect(one.session.store.getState().elsewhere).toBe("lagoon");
  three.session.closeTab(three.session.store.getState().active);
  await expect.poll(() => one.session.store.getState().elsewhere).toBeNull();
});
