/** Files of this server that are dropped as links: pictures of the gallery, of another window, of a list. */

import type { Client } from "../server/client";

/** The first address of a `text/uri-list` that is one of this server; null for none, as others are not fetched. */
export function ownLink(list: string, origin: string): string | null {
  for (const line of list.split(/\r?\n/)) {
    if (line.startsWith("#") || !URL.canParse(line)) continue;
    const address = new URL(line);
    if (address.origin === origin) return address.pathname + address.search;
  }
  return null;
}

/** What is behind a link of this server, named as its address does. Raises as `Client.send` does. */
export async function fileBehind(client: Client, link: string): Promise<File> {
  const blob = await (await client.send(link, {})).blob();
  return new File([blob], nameOf(link, blob.type), { type: blob.type });
}

function nameOf(link: string, type: string): string {
  const address = new URL(link, "http://server");
  const name = address.searchParams.get("filename") ?? decodeURIComponent(address.pathname.split("/").at(-1) ?? "");
  const ending = /^image\/(png|webp|jpeg|gif)$/.exec(type)?.[1];
  return name.includes(".") || ending === undefined ? name : `${name}.${ending}`;
}
