/** Example workflows: those that come with the editor, and those of node packs of this server. */

import { isObject, type Json } from "../model/json";
import { parseJson } from "../model/json_text";
import { positionOf, savedSizeOf, typeOf } from "../model/node_reading";
import { NOTE_TYPES, rootOf } from "../model/records";
import { loadWorkflow } from "../model/workflow_file";
import type { Client } from "../server/client";

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly isNote: boolean;
}

export interface Template {
  readonly title: string;
  readonly url: string;
  /** What it makes, as a small picture; null where there is none. */
  readonly picture: string | null;
  /** Where its nodes are, for a small picture; none for templates that were not looked into. */
  readonly boxes: readonly Box[];
  readonly view: string;
}

const OWN = import.meta.glob<string>("../../../workflows/*.json", { query: "?url", import: "default", eager: true });
const PICTURES = import.meta.glob<string>("../../../workflows/thumbnails/*.webp", { query: "?url", import: "default", eager: true });
const FIRST = "text_to_image";

export async function listTemplates(client: Client): Promise<readonly Template[]> {
  const pictures = new Map(Object.entries(PICTURES).map(([path, url]) => [nameOf(path), url]));
  const own = Object.entries(OWN).map(([path, url]) => ({ name: nameOf(path), url, picture: pictures.get(nameOf(path)) ?? null }));
  const packs = await client.send("/workflow_templates", {}).then(async (answer) => parseJson(await answer.text())).catch(() => ({}));
  const others = Object.entries(isObject(packs) ? packs : {}).flatMap(([pack, names]) =>
    (Array.isArray(names) ? names : []).filter((name): name is string => typeof name === "string").map((name) => ({
      name, url: `/api/workflow_templates/${encodeURIComponent(pack)}/${encodeURIComponent(name)}.json`,
      picture: null,
    })),
  );
  const first = own.toSorted((one, two) => Number(two.name === FIRST) - Number(one.name === FIRST));
  return Promise.all([...first, ...others].map((item) => describe(client, item)));
}

export async function readTemplate(client: Client, template: Template): Promise<Json> {
  return parseJson(await (await client.send(template.url, {})).text());
}

function nameOf(path: string): string {
  return path.split("/").at(-1)?.replace(/\.\w+$/, "") ?? path;
}

interface Found {
  readonly name: string;
  readonly url: string;
  readonly picture: string | null;
}

async function describe(client: Client, { name, url, picture }: Found): Promise<Template> {
  const title = name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
  try {
    const { nodes } = rootOf(loadWorkflow(parseJson(await (await client.send(url, {})).text())));
    const boxes = [...nodes.byId.values()].map((node): Box => ({
      ...positionOf(node), ...(savedSizeOf(node) ?? { width: 200, height: 100 }), isNote: NOTE_TYPES.has(typeOf(node)),
    }));
    return { title, url, picture, boxes, view: viewOf(boxes) };
  } catch {
    return { title, url, picture, boxes: [], view: "0 0 1 1" };
  }
}

function viewOf(boxes: readonly Box[]): string {
  const left = Math.min(...boxes.map((box) => box.x)) - 60;
  const top = Math.min(...boxes.map((box) => box.y)) - 60;
  const right = Math.max(...boxes.map((box) => box.x + box.width)) + 60;
  const bottom = Math.max(...boxes.map((box) => box.y + box.height)) + 60;
  return boxes.length === 0 ? "0 0 1 1" : `${left} ${top} ${right - left} ${bottom - top}`;
}
