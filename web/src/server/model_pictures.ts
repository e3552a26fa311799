/** Pictures that lie beside weight files, for lists of models. */

import { urlOf, type Client } from "./client";

const SIZE_PX = 128;
/** Folders that nodes choose files from and that hold no models. */
const OTHERS: ReadonlySet<string> = new Set(["input", "output", "temp"]);

/** Addresses by the names that prompts have; none for folders without models. */
export async function modelPictures(client: Client, folder: string): Promise<ReadonlyMap<string, string>> {
  if (OTHERS.has(folder)) return new Map();
  try {
    const files = await client.call("GET /models/{folder}", { path: { folder } });
    const address = (name: string) => urlOf("/models/{folder}/{name}/picture", { folder, name }, { size: SIZE_PX });
    return new Map(files.filter((file) => file.has_picture).map(({ name }) => [name, address(name)]));
  } catch {
    return new Map();
  }
}
