import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../src/model/json";
import { Client, ServerError, Unreachable, urlOf } from "../../src/server/client";
import { followJob, FrameParser, type JobEvent } from "../../src/server/job_events";
import { saveWorkflowAs } from "../../src/server/workflows";

interface Seen {
  readonly url: string;
  readonly init: RequestInit;
}

/** A server that gives prepared answers in order and keeps what it was asked. */
function serverOf(answers: readonly (Response | Error)[]) {
  const seen: Seen[] = [];
  const client = new Client((url, init = {}) => {
    seen.push({ url, init });
    const answer = answers[seen.length - 1];
    return answer instanceof Response ? Promise.resolve(answer) : Promise.reject(answer ?? new TypeError("no more"));
  });
  return { client, seen };
}

const json = (value: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(value), { status, headers: { "Content-Type": "application/json", ...headers } });

function frame(seq: number, kind: string, data: JsonObject = {}): string {
  const id = seq > 0 ? `id: ${seq}\n` : "";
  return `${id}event: ${kind}\ndata: ${JSON.stringify({ job: "j", seq, kind, data, time_s: 1 })}\n\n`;
}

async function all(client: Client, waits: number[] = []): Promise<JobEvent[]> {
  const found: JobEvent[] = [];
  const wait = (ms: number) => Promise.resolve(void waits.push(ms));
  for await (const event of followJob(client, "j", { signal: new AbortController().signal, wait })) found.push(event);
  return found;
}

describe("the client", () => {
  it("puts names into addresses so that they stay names", () => {
    expect(urlOf("/workflows/{name}", { name: "a/b c" }, { x: 1, y: undefined })).toBe("/api/v1/workflows/a%2Fb%20c?x=1");
  });

  it("turns refusals into errors with code, sentence and hint", async () => {
    const { client } = serverOf([json({ error: { code: "not_found", message: "No.", hint: "Look." } }, 404)]);
    const error = await client.call("GET /jobs/{job}", { path: { job: "x" } }).catch((found: unknown) => found);
    expect(error).toBeInstanceOf(ServerError);
    expect(error).toMatchObject({ status: 404, code: "not_found", message: "No.", hint: "Look." });
  });

  it("tells a server that is away from one that refuses", async () => {
    const { client } = serverOf([new TypeError("refused")]);
    await expect(client.call("GET /jobs", {})).rejects.toBeInstanceOf(Unreachable);
  });

  it("replaces a document only under its ETag, and a new one only if there is none", async () => {
    const { client, seen } = serverOf([json({}, 201, { ETag: '"1"' }), json({}, 200, { ETag: '"2"' })]);
    expect(await saveWorkflowAs(client, "a", { nodes: [] }, null)).toBe('"1"');
    expect(await saveWorkflowAs(client, "a", { nodes: [] }, '"1"')).toBe('"2"');
    const headers = seen.map(({ init }) => Object.fromEntries(new Headers(init.headers)));
    expect(headers[0]).toMatchObject({ "if-none-match": "*", "content-type": "application/json" });
    expect(headers[1]).toMatchObject({ "if-match": '"1"' });
  });
});

describe("job events", () => {
  it("go on after a broken connection where they stopped, each numbered one once", async () => {
    const { client, seen } = serverOf([
      new Response(frame(1, "job_queued") + frame(0, "node_progress") + frame(2, "job_started").slice(0, 30)),
      new TypeError("away"),
      new Response(frame(1, "job_queued") + frame(2, "job_started") + frame(3, "job_succeeded")),
    ]);
    const waits: number[] = [];
    const events = await all(client, waits);
    expect(events.map((event) => [event.seq, event.kind])).toEqual([
      [1, "job_queued"], [0, "node_progress"], [2, "job_started"], [3, "job_succeeded"],
    ]);
    expect(seen.map(({ init }) => new Headers(init.headers).get("Last-Event-ID"))).toEqual(["0", "1", "1"]);
    expect(waits).toEqual([500, 1000]);
  });

  it("end with an error when there is no such job", async () => {
    const { client } = serverOf([json({ error: { code: "not_found", message: "No." } }, 404)]);
    await expect(all(client)).rejects.toMatchObject({ status: 404 });
  });

  it("are cut out of any pieces of the stream", () => {
    const text = `: still here\n\n${frame(1, "a")}${frame(2, "b")}`;
    for (let size = 1; size < text.length; size += 7) {
      const parser = new FrameParser();
      const found: string[] = [];
      for (let i = 0; i < text.length; i += size) found.push(...parser.push(text.slice(i, i + size)));
      expect(found.map((item) => (JSON.parse(item) as JobEvent).seq)).toEqual([1, 2]);
    }
  });
});
