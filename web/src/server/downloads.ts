/** Downloads of models by the server: how each is, live and across broken connections. */

import { parseJson } from "../model/json_text";
import { isObject } from "../model/json";
import type { Download } from "./api_types";
import { urlOf, type Client } from "./client";
import { FrameParser } from "./job_events";

export const ACTIVE: ReadonlySet<string> = new Set(["waiting", "running"]);
const AGAIN_MS = 3000;

/** Yields each download as it is, then at every change; one that was removed says so as its state. */
export async function* followDownloads(client: Client, signal: AbortSignal): AsyncGenerator<Download, void> {
  while (!signal.aborted) {
    try {
      const response = await client.send(urlOf("/downloads", {}, {}), { headers: { Accept: "text/event-stream" }, signal });
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new FrameParser();
      for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader?.read()) {
        for (const text of parser.push(part.value)) {
          const event = parseJson(text);
          if (isObject(event) && isObject(event.data)) yield event.data as unknown as Download;
        }
      }
    } catch {
      // The server may be away for a while; what it does goes on without anybody looking.
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
