// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from "vitest";
import { Autosave } from "../../src/app/autosave";
import type { Session } from "../../src/app/session";
import type { Draft } from "../../src/files/drafts";
import { rootOf } from "../../src/model/records";
import { FakeLocks } from "../app/fake_locks";
import { FakeServer, Reply } from "../fake_server";

const flow = (...ids: number[]) => ({ nodes: ids.map((id) => ({ id, type: "Note", pos: [0, 0] })), links: [], version: 0.4 });
const draft = (order: number, name: string, ids: number[]): Draft => ({
  tab: `t${order}`, window: "gone", title: "", saved: { name, etag: '"1"' }, text: JSON.stringify(flow(...ids)), order, isChanged: true, at_ms: 0,
});
const DRAFTS = [draft(0, "boats", [1]), draft(1, "hills", [1, 2])];

/** What was shown, in its order, when the address asks for a workflow and there are drafts of boats and hills, which are read after `meanwhile`. */
async function started(wanted: string | null, meanwhile: (session: Session) => Promise<void> = () => Promise.resolve()) {
  sessionStorage.clear();
  sessionStorage.setItem("atelier-tab", "t0");
  const server = new FakeServer()
    .on("GET /workflows/lakes", () => new Reply(200, flow(1, 2, 3), { ETag: '"7"' }));
  const { session } = server;
  const seen: (string | undefined)[] = [];
  session.store.subscribe(({ saved }, before) => saved !== before.saved && seen.push(saved?.name));
  const drafts = { all: () => meanwhile(session).then(() => DRAFTS), keep: () => Promise.resolve(), snapshot: () => Promise.resolve() };
  await new Autosave(session, drafts).start(wanted);
  const { tabs, open, notice } = session.store.getState();
  return { seen, tabs: tabs.map(({ saved }) => saved?.name), num: rootOf(open.document).nodes.ids.length, isError: notice?.isError ?? false };
}

describe("a page that is opened at the address of a workflow", () => {
  beforeEach(() => void new FakeLocks().install());

  it("shows that one at once, and never a draft of another first", async () => {
    expect(await started("lakes")).toEqual({ seen: ["lakes"], tabs: ["boats", "hills", "lakes"], num: 3, isError: false });
  });
  it("shows it again when it comes back without that address", async () => {
    await started("hills");
    expect(sessionStorage.getItem("atelier-tab")).toBe("t1");
  });
  it("shows what was not saved of it", async () => {
    expect(await started("hills")).toEqual({ seen: ["hills"], tabs: ["boats", "hills"], num: 2, isError: false });
  });
  it("leaves shown what somebody has begun before they were back", async () => {
    const found = await started(null, (session) => session.openValue(flow(1, 2, 3)));
    expect(found).toEqual({ seen: [], tabs: ["boats", "hills", undefined], num: 3, isError: false });
  });
  it("says that there is none, and shows what was open; without an address that alone", async () => {
    expect(await started("seas")).toEqual({ seen: ["boats"], tabs: ["boats", "hills"], num: 1, isError: true });
    expect(await started(null)).toEqual({ seen: ["boats"], tabs: ["boats", "hills"], num: 1, isError: false });
  });
});
