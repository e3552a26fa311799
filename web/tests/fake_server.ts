/** A server of prepared answers: by method and path, with everything it was asked. */

import { Session } from "../src/app/session";
import { Client } from "../src/server/client";

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
  readonly headers: Headers;
}

type Prepared = (asked: Asked) => unknown;

/** What an answer is when it is no plain 200. */
export class Reply {
  readonly status: number;
  readonly value: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, value: unknown = null, headers: Readonly<Record<string, string>> = {}) {
    this.status = status;
    this.value = value;
    this.headers = headers;
  }
}

export class FakeServer {
  readonly asked: Asked[] = [];
  readonly answers = new Map<string, Prepared>();
  isAway = false;
  readonly client = new Client((url, init) => this.answer(url, init ?? {}));
  readonly session = new Session(this.client, { nowMs: () => 0, random: () => 0.5 });

  on(route: string, prepared: Prepared): this {
    this.answers.set(route, prepared);
    return this;
  }

  /** "METHOD path" of everything that was no question. */
  get changes(): readonly (readonly [string, unknown])[] {
    return this.asked.filter(({ method }) => method !== "GET").map(({ method, path, body }) => [`${method} ${path}`, body]);
  }

  private answer(url: string, init: RequestInit): Promise<Response> {
    if (this.isAway) return Promise.reject(new TypeError("refused"));
    const { pathname, searchParams } = new URL(url, "http://here");
    const method = init.method ?? "GET";
    const body = typeof init.body === "string" ? (JSON.parse(init.body) as unknown) : null;
    const path = pathname.replace("/api/v1", "");
    const asked = { method, path, query: searchParams, body, headers: new Headers(init.headers) };
    this.asked.push(asked);
    const found = this.answers.get(`${method} ${path}`)?.(asked) ?? new Reply(404, { error: { code: "not_found", message: "No." } });
    const { status, value, headers } = found instanceof Reply ? found : new Reply(200, found);
    const isEmpty = status === 204;
    return Promise.resolve(new Response(isEmpty ? null : JSON.stringify(value), {
      status, headers: { "Content-Type": "application/json", ...headers },
    }));
  }
}
