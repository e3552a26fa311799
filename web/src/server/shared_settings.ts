/** Settings the server keeps for every browser that opens it. */

import { parseJson, writeJson } from "../model/json_text";
import { isObject, type Json } from "../model/json";
import type { Client } from "./client";

const ADDRESS = "/api/settings";

/** Raises ServerError and Unreachable. */
export function sharedSettings(client: Client) {
  return {
    read: async (): Promise<Readonly<Record<string, unknown>>> => {
      const found = parseJson(await (await client.send(ADDRESS, {})).text());
      return isObject(found) ? found : {};
    },
    write: async (changes: Readonly<Record<string, unknown>>): Promise<void> => {
      const headers = { "Content-Type": "application/json" };
      await client.send(ADDRESS, { method: "POST", headers, body: writeJson(changes as Json) });
    },
  };
}
