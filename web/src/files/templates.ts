/** Example workflows: those that come with the editor, and those of node packs of this server. */

import type { Catalog } from "../model/catalog";
import { isObject, type Json } from "../model/json";
import { parseJson } from "../model/json_text";
import { positionOf, savedSizeOf, typeOf } from "../model/node_reading";
import { NOTE_TYPES, rootOf, type WorkflowDocument } from "../model/records";
import { loadWorkflow } from "../model/workflow_file";
import type { Client } from "../server/client";
import { isWorkingFolder } from "../server/input_pictures";
import type { FileNames } from "../server/workflows";
import { missingIn } from "./missing";

/** From the right edge of a node to the left edge of another. */
interface Line {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly type: string;
}

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
}

/** Where the nodes of a template are and what links them, for a small drawing of it. */
export interface Drawing {
  readonly boxes: readonly Box[];
  readonly lines: readonly Line[];
  readonly view: string;
}

export const NO_DRAWING: Drawing = { boxes: [], lines: [], view: "0 0 1 1" };

const OWN = import.meta.glob<string>("../../../workflows/*.json", { query: "?url", import: "default", eager: true });
const PICTURES = import.meta.glob<string>("../../../workflows/thumbnails/*.webp", { query: "?url", import: "default", eager: true });
const FIRST = "text_to_image";
const SLOT_PX = 20;

/** Those that come with the editor: the one to begin with, then the others by name. */
export function ownTemplates(): readonly Template[] {
  const pictures = new Map(Object.entries(PICTURES).map(([path, url]) => [nameOf(path), url]));
  return Object.entries(OWN)
    .map(([path, url]) => ({ name: nameOf(path), url }))
    .toSorted((one, two) => Number(two.name === FIRST) - Number(one.name === FIRST))
    .map(({ name, url }) => ({ title: titleFrom(name), url, picture: pictures.get(name) ?? null }));
}

/** Those of node packs; none while the server is away. */
export async function packTemplates(client: Client): Promise<readonly Template[]> {
  const packs = await client.send("/workflow_templates", {}).then(async (answer) => parseJson(await answer.text())).catch(() => ({}));
  return Object.entries(isObject(packs) ? packs : {}).flatMap(([pack, names]) =>
    (Array.isArray(names) ? names : []).filter((name): name is string => typeof name === "string").map((name) => ({
      title: titleFrom(name), picture: null,
      url: `/api/workflow_templates/${encodeURIComponent(pack)}/${encodeURIComponent(name)}.json`,
    })),
  );
}

export async function readTemplate(client: Client, template: Template): Promise<Json> {
  return parseJson(await (await client.send(template.url, {})).text());
}

function nameOf(path: string): string {
  return path.split("/").at(-1)?.replace(/\.\w+$/, "") ?? path;
}

function titleFrom(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
}

/** Raises what reading and parsing raise. */
export async function drawTemplate(client: Client, template: Template): Promise<Drawing> {
  const { nodes, links } = rootOf(loadWorkflow(await readTemplate(client, template)));
  const byId = new Map([...nodes.byId].map(([id, node]): [string, Box] => [id, {
    ...positionOf(node), ...(savedSizeOf(node) ?? { width: 200, height: 100 }), isNote: NOTE_TYPES.has(typeOf(node)),
  }]));
  const lines = [...links.byId.values()].flatMap((link): Line[] => {
    const [from, to] = [byId.get(link.origin), byId.get(link.target)];
    if (from === undefined || to === undefined) return [];
    return [{ ...between(from, link.originSlot, to, link.targetSlot), type: String(link.type) }];
  });
  const boxes = [...byId.values()];
  return { boxes, lines, view: viewOf(boxes) };
}

function between(from: Box, fromSlot: number, to: Box, toSlot: number): Omit<Line, "type"> {
  const height = (box: Box, slot: number) => box.y + Math.min(box.height, SLOT_PX * (slot + 0.5));
  return { x1: from.x + from.width, y1: height(from, fromSlot), x2: to.x, y2: height(to, toSlot) };
}

/** What the templates lack here: the weight files of each, by its address. Templates that cannot be read lack nothing. */
export async function lackingFiles(
  client: Client, catalog: Catalog, files: FileNames, templates: readonly Template[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const read: [string, WorkflowDocument][] = [];
  for (const template of templates) {
    // One after the other: nobody waits for this.
    const document = await readTemplate(client, template).then(loadWorkflow).catch(() => null);
    if (document !== null) read.push([template.url, document]);
  }
  const types = read.flatMap(([, { graphs }]) => [...graphs.values()].flatMap(({ nodes }) => [...nodes.byId.values()].map(typeOf)));
  await files.load(catalog, types);
  return new Map(read.map(([url, document]) => [
    url, missingIn(document, catalog, files.list).files.filter(({ folder }) => !isWorkingFolder(folder)).map(({ name }) => name),
  ]));
}

function viewOf(boxes: readonly Box[]): string {
  const left = Math.min(...boxes.map((box) => box.x)) - 60;
  const top = Math.min(...boxes.map((box) => box.y)) - 60;
  const right = Math.max(...boxes.map((box) => box.x + box.width)) + 60;
  const bottom = Math.max(...boxes.map((box) => box.y + box.height)) + 60;
  return boxes.length === 0 ? "0 0 1 1" : `${left} ${top} ${right - left} ${bottom - top}`;
}
