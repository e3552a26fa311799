// @vitest-environment happy-dom
import { cleanup, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, it } from "vitest";
import { Session } from "../../src/app/session";
import { MissingModels } from "../../src/panels/missing_models";
import type { Download } from "../../src/server/api_types";
import { Client } from "../../src/server/client";

afterEach(cleanup);

const FILE = { name: "m.safetensors", folder: "loras", source: { url: "https://hub.test/m", sha256: "ab".repeat(32) } };
const DOWNLOAD: Download = {
  id: "d", folder: "loras", name: "m.safetensors", url: "https://hub.test/m", host: "hub.test", sha256: "ab", size_bytes: 4e9,
  received_bytes: 0, state: "waiting", error: "",
};

/** A server whose stream of downloads a test writes. */
function server() {
  const asked: [string, unknown][] = [];
  let stream: ReadableStreamDefaultController<Uint8Array> | null = null;
  const json = (value: unknown, status = 200) => new Response(JSON.stringify(value), { status, headers: { "Content-Type": "application/json" } });
  const client = new Client((url, init = {}) => {
    const route = `${init.method ?? "GET"} ${url.replace("/api/v1", "")}`;
    if (route === "GET /downloads") {
      const body = new ReadableStream<Uint8Array>({ start: (control) => void (stream = control) });
      return Promise.resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
    }
    asked.push([route, typeof init.body === "string" ? JSON.parse(init.body) : null]);
    if (route === "POST /downloads/offer") return Promise.resolve(json({ ...DOWNLOAD, free_bytes: 9e9 }));
    if (route === "POST /downloads") return Promise.resolve(json(DOWNLOAD, 201));
    return Promise.resolve(init.method === "DELETE" ? new Response(null, { status: 204 }) : json(DOWNLOAD));
  });
  const tell = (change: Partial<Download>) => {
    const event = { job: "", seq: 0, kind: "model_download", time_s: 0, data: { ...DOWNLOAD, ...change } };
    stream?.enqueue(new TextEncoder().encode(`event: model_download\ndata: ${JSON.stringify(event)}\n\n`));
  };
  return { asked, tell, session: new Session(client, { nowMs: () => 0, random: () => 0 }), isFollowed: () => stream !== null };
}

const press = async (name: string) => userEvent.click(await screen.findByRole("button", { name }));

describe("a missing model", () => {
  it("is shown with its folder and the terms its workflow states", () => {
    render(<MissingModels session={server().session} files={[{ ...FILE, source: null, license: "Open RAIL" }]} onCame={() => undefined} />);
    expect(screen.getByRole("listitem").textContent).toBe("m.safetensorsbelongs in models/lorasLicence: Open RAIL");
  });

  it("is downloaded after people have seen its size, with progress, and the lists are read when it is there", async () => {
    const { asked, tell, session, isFollowed } = server();
    let numCame = 0;
    render(<MissingModels session={session} files={[FILE]} onCame={() => void numCame++} />);
    await press("Download m.safetensors…");
    expect((await screen.findByRole("group")).textContent).toContain("4.0 GB from hub.test, into models/loras");
    expect(asked.map(([route]) => route)).toEqual(["POST /downloads/offer"]);
    await press("Download 4.0 GB");
    await waitFor(() => expect(asked.at(-1)).toEqual(["POST /downloads", { folder: "loras", name: "m.safetensors", ...FILE.source }]));
    await waitFor(() => expect(isFollowed()).toBe(true));
    tell({ state: "running", received_bytes: 1e9 });
    const bar = await screen.findByRole("progressbar", { name: "Download of m.safetensors" });
    expect(bar.getAttribute("aria-valuenow")).toBe("25");
    expect(screen.getByText("1.0 GB of 4.0 GB")).toBeTruthy();
    tell({ state: "done", received_bytes: 4e9 });
    await waitFor(() => expect(numCame).toBe(1));
  });

  it("that failed says why, goes on or is removed; one without a source is only named", async () => {
    const { asked, tell, session, isFollowed } = server();
    render(<MissingModels session={session} files={[FILE, { ...FILE, name: "other.ckpt", source: null }]} onCame={() => undefined} />);
    await waitFor(() => expect(isFollowed()).toBe(true));
    tell({ state: "failed", received_bytes: 1e9, error: "<b>its digest is another one</b>" });
    expect(await screen.findByText("<b>its digest is another one</b>")).toBeTruthy();
    await press("Go on");
    await press("Remove what came of m.safetensors");
    await waitFor(() => expect(asked.map(([route]) => route)).toEqual(["POST /downloads/d/resume", "DELETE /downloads/d"]));
    tell({ state: "removed" as Download["state"] });
    await screen.findByRole("button", { name: "Download m.safetensors…" });
    expect(screen.getAllByRole("button").length).toBe(1);
    expect(screen.getByText("other.ckpt")).toBeTruthy();
  });
});
