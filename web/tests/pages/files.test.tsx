// @vitest-environment happy-dom
import { cleanup, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, it, vi } from "vitest";
import { useStore } from "zustand";
import type { Session } from "../../src/app/session";
import { addNode } from "../../src/model/node_edits";
import { rootOf } from "../../src/model/records";
import { parseJson } from "../../src/model/json_text";
import ConflictWindow from "../../src/panels/conflict_window";
import { exportFile } from "../../src/panels/exporting";
import { FakeServer, Reply } from "../fake_server";
import { referenceCatalog } from "../reference_catalog";

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

const SEED = 18446744073709551615n;
const FILE = {
  nodes: [{ id: 1, type: "EmptyLatentImage", pos: [0, 0], outputs: [{ name: "LATENT", type: "LATENT", links: [1] }], widgets_values: [64, 64, 2] },
    { id: 2, type: "SaveLatent", pos: [9, 9], inputs: [{ name: "samples", type: "LATENT", link: 1 }], widgets_values: ["a"], nobody: SEED }],
  links: [[1, 1, 0, 2, 0, "LATENT"]], version: 0.4,
};

/** Files that were given to the browser: names and texts. */
function givenFiles(): { readonly name: string; readonly data: Blob }[] {
  const given: { name: string; data: Blob }[] = [];
  let last: Blob | null = null;
  vi.spyOn(URL, "createObjectURL").mockImplementation((data) => {
    last = data as Blob;
    return "blob:here";
  });
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function click(this: HTMLAnchorElement) {
    given.push({ name: this.download, data: last as Blob });
  });
  return given;
}

describe("exported files", () => {
  it("are the workflow with all it had, and what would be queued in the API format", async () => {
    const { session } = new FakeServer();
    session.store.setState({ catalog: referenceCatalog() });
    await session.openValue(FILE, "Boats");
    const given = givenFiles();
    exportFile(session, "workflow");
    exportFile(session, "api");
    expect(given.map(({ name }) => name)).toEqual(["Boats.json", "Boats_api.json"]);
    const [workflow, prompt] = await Promise.all(given.map(async ({ data }) => parseJson(await data.text())));
    expect(workflow).toMatchObject({ version: 0.4, links: FILE.links, nodes: [{ id: 1 }, { id: 2, nobody: SEED }] });
    expect(prompt).toMatchObject({
      "1": { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 2 } },
      "2": { class_type: "SaveLatent", inputs: { samples: ["1", 0], filename_prefix: "a" } },
    });
  });
});

function Conflicts({ session }: { session: Session }) {
  const conflict = useStore(session.store, (state) => state.conflict);
  return conflict === null ? null : <ConflictWindow session={session} {...conflict} />;
}

/** Two windows of one file: the other has saved, then this one saves. */
async function conflicting() {
  let stored = { etag: '"1"', document: FILE as unknown };
  const server = new FakeServer()
    .on("GET /workflows", () => [])
    .on("GET /workflows/boats", () => new Reply(200, { ...(stored.document as object), nodes: [{ id: 1, type: "Note" }], links: [] }, { ETag: stored.etag }))
    .on("PUT /workflows/boats", ({ headers, body }) => {
      if (headers.get("If-Match") !== stored.etag) {
        return new Reply(412, { error: { code: "version_conflict", message: "No.", details: { etag: stored.etag.replaceAll('"', "") } } });
      }
      stored = { etag: '"3"', document: body };
      return new Reply(200, {}, { ETag: '"3"' });
    });
  const { session } = server;
  await session.openSaved("boats");
  const { open } = session.store.getState();
  open.edit("Add", (edit) => addNode(edit, open.graph.id, "Note", { x: 0, y: 0 }, referenceCatalog(), () => []));
  stored = { etag: '"2"', document: "theirs" };
  render(<Conflicts session={session} />);
  await session.save("boats");
  await screen.findByRole("dialog", { name: "boats was changed elsewhere" });
  expect([stored.document, open.isChanged]).toEqual(["theirs", true]);
  return { server, session, open, stored: () => stored };
}

describe("a file that two windows save", () => {
  it("is replaced only by those who say so, under the ETag of what they replace", async () => {
    const { session, open, stored } = await conflicting();
    await userEvent.click(screen.getByRole("button", { name: "Replace theirs" }));
    await waitFor(() => expect(stored().etag).toBe('"3"'));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect([session.store.getState().saved, open.isChanged]).toEqual([{ name: "boats", etag: '"3"' }, false]);
  });

  it("opens theirs beside one's own, or asks for another name", async () => {
    const { session, open, stored } = await conflicting();
    await userEvent.click(screen.getByRole("button", { name: "Open theirs in a tab" }));
    await waitFor(() => expect(session.store.getState().tabs.length).toBe(2));
    const [own, theirs] = session.store.getState().tabs;
    expect([own?.open === open, rootOf(theirs!.open.document).nodes.ids.length, stored().document]).toEqual([true, 1, "theirs"]);
    cleanup();

    const second = await conflicting();
    let isAsked = false;
    second.session.askName = () => void (isAsked = true);
    await userEvent.click(screen.getByRole("button", { name: "Save as a copy" }));
    expect([isAsked, second.session.store.getState().conflict, second.stored().document]).toEqual([true, null, "theirs"]);
  });
});
