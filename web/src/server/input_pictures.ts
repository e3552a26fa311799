/** Pictures of the working folders, by what widgets say: `folder/name.png`, with ` [output]` where it is not the input folder. */

import { urlOf } from "./client";

interface Place {
  readonly folder: string;
  readonly path: string;
}

const FOLDERS: ReadonlySet<string> = new Set(["input", "output", "temp"]);

export function inputPictureAddress(value: string): string {
  const { folder, path } = placeOf(value, "input");
  const [, subfolder = "", name = ""] = /^(?:(.*)\/)?([^/]*)$/.exec(path) ?? [];
  return `/view?${new URLSearchParams({ filename: name, subfolder, type: folder }).toString()}`;
}

/** The same picture, at most `size` pixels long, for lists of many. `folder` is where the names of the list are. */
export function inputThumbnailAddress(value: string, folder: string, size: number): string {
  const { folder: own, path } = placeOf(value, folder);
  return urlOf("/folders/{folder}/{name}/thumbnail", { folder: own, name: path }, { size });
}

/** Whether lists of this folder are lists of files that people sent or made. */
export function isWorkingFolder(folder: string): boolean {
  return FOLDERS.has(folder);
}

function placeOf(value: string, folder: string): Place {
  const [, path = value, own] = /^(.*?)(?: \[(\w+)\])?$/.exec(value) ?? [];
  return { path, folder: own ?? folder };
}
