/** The small pictures of what lists of files offer: of pictures themselves, and those that lie beside weight files. */

import type { FileChoices } from "../model/catalog";
import { urlOf, type Client } from "./client";
import { inputThumbnailAddress, isWorkingFolder } from "./input_pictures";

const SIZE_PX = 128;
const PICTURE_NAME = /\.(?:png|jpe?g|webp|gif|avif|bmp|tiff?)(?: \[\w+\])?$/i;

/** The address of the picture of a choice; null where it has none. */
export type PictureOf = (name: string) => string | null;

/** null for lists without pictures. */
export async function choicePictures(client: Client, { folder, media }: FileChoices): Promise<PictureOf | null> {
  if (isWorkingFolder(folder)) {
    if (media !== "image" && media !== "") return null;
    return (name) => (PICTURE_NAME.test(name) ? inputThumbnailAddress(name, folder, SIZE_PX) : null);
  }
  try {
    const files = await client.call("GET /models/{folder}", { path: { folder } });
    const own = new Set(files.filter((file) => file.has_picture).map(({ name }) => name));
    const address = (name: string) => urlOf("/models/{folder}/{name}/picture", { folder, name }, { size: SIZE_PX });
    return own.size === 0 ? null : (name) => (own.has(name) ? address(name) : null);
  } catch {
    return null;
  }
}
