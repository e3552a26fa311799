/** The server's native API, typed by its own description. The only place that calls `fetch`. */

import { parseJson, writeJson } from "../model/json_text";
import { isObject, type Json, type JsonObject } from "../model/json";
import type { Operations } from "./api_types";

export const PREFIX = "/api/v1";

/** An answer that is an error: `code` is stable, `message` and `hint` are for people. */
export class ServerError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  readonly details: JsonObject;

  constructor(status: number, record: JsonObject) {
    super(typeof record.message === "string" ? record.message : `The server answered ${status}.`);
    this.status = status;
    this.code = typeof record.code === "string" ? record.code : `http_${status}`;
    this.hint = typeof record.hint === "string" ? record.hint : "";
    this.details = isObject(record.details) ? record.details : {};
  }
}

/** The server could not be reached at all. */
export class Unreachable extends Error {}

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;
type Name = keyof Operations;
type Empty<T> = keyof T extends never ? true : Record<never, never> extends T ? true : false;
type Part<K extends string, T> = Empty<T> extends true ? { readonly [key in K]?: T } : { readonly [key in K]: T };
export type Options<N extends Name> = Part<"path", Operations[N]["path"]> &
  Part<"query", Operations[N]["query"]> &
  Part<"headers", Operations[N]["headers"]> & {
    readonly body?: Operations[N]["body"];
    readonly signal?: AbortSignal;
  };

export interface Answer<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly value: T;
}

export class Client {
  private readonly fetch: Fetch;

  constructor(fetch: Fetch = (url, init) => globalThis.fetch(url, init)) {
    this.fetch = fetch;
  }

  /** The result of an operation. Raises ServerError, Unreachable, or what aborting raises. */
  async call<N extends Name>(name: N, options: Options<N>): Promise<Operations[N]["result"]> {
    return (await this.ask(name, options)).value;
  }

  /** The same with status and headers, for those who need the ETag. */
  async ask<N extends Name>(name: N, options: Options<N>): Promise<Answer<Operations[N]["result"]>> {
    const [method, template] = name.split(" ") as [string, string];
    const headers = new Headers((options.headers ?? {}) as Record<string, string>);
    const init: RequestInit = { method, headers, signal: options.signal ?? null };
    if (options.body instanceof FormData) init.body = options.body;
    else if (options.body !== undefined) {
      headers.set("Content-Type", "application/json");
      init.body = writeJson(options.body as unknown as Json);
    }
    const response = await this.send(urlOf(template, options.path ?? {}, options.query ?? {}), init);
    return { status: response.status, headers: response.headers, value: (await valueOf(response)) as never };
  }

  /** A plain answer, for streams. Raises as `call` does. */
  async send(url: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await this.fetch(url, init);
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new Unreachable("The server cannot be reached.", { cause: error });
    }
    if (response.ok || response.status === 304) return response;
    const record = await response.text().then(parseJson).catch(() => null);
    throw new ServerError(response.status, isObject(record) && isObject(record.error) ? record.error : {});
  }
}

async function valueOf(response: Response): Promise<unknown> {
  if (response.status === 204 || response.status === 304) return null;
  const kind = response.headers.get("Content-Type") ?? "";
  return kind.startsWith("application/json") ? parseJson(await response.text()) : response.blob();
}

/** The address of an operation: `urlOf("/jobs/{job}", { job: "a" }, { after: 3 })`. */
export function urlOf(template: string, path: object, query: object): string {
  const filled = template.replace(/\{(\w+)\}/g, (_all, name: string) =>
    encodeURIComponent(String((path as Record<string, unknown>)[name])),
  );
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  return `${PREFIX}${filled}${search.size > 0 ? `?${search.toString()}` : ""}`;
}
