/** A picture of the input folder as its colours and its mask, and where it came from. */

import type { MaskRequest } from "../app/requests";
import type { Session } from "../app/session";
import { textsOf } from "../files/picture_metadata";
import { readPng } from "../files/png_reading";
import { maskOf, type Mask } from "../model/mask";
import type { Pixels } from "../model/pixels";

/** The text of a picture that names the one its mask was painted on. */
export const MASK_SOURCE = "mask_source";

export interface InputPicture {
  readonly pixels: Pixels;
  readonly source: string;
  mask: Mask;
  readonly texts: ReadonlyMap<string, string>;
}

/**
 * The colours come from the picture a mask was painted on before, as long as that is there: programs in between may have
 * lost those below the mask.
 */
export async function loadPicture(session: Session, { name, addressOf }: MaskRequest): Promise<InputPicture> {
  const read = async (address: string) => (await session.client.send(address, {})).blob();
  const blob = await read(addressOf(name));
  const own = await pixelsOf(blob);
  const texts = textsOf(await bytesOf(blob));
  const source = texts.get(MASK_SOURCE);
  const first = source === undefined ? null : await read(addressOf(source)).then(pixelsOf).catch(() => null);
  const isSame = first !== null && first.width === own.width && first.height === own.height;
  return { pixels: isSame ? first : own, source: isSame && source !== undefined ? source : name, mask: maskOf(own), texts };
}

async function bytesOf(blob: Blob): Promise<Uint8Array> {
  return new Uint8Array(await blob.arrayBuffer());
}

/** A canvas forgets the colours it cannot see, so files with a mask in them are read without one where that is possible. */
async function pixelsOf(blob: Blob): Promise<Pixels> {
  const exact = readPng(await bytesOf(blob));
  if (exact !== null) return exact;
  const picture = await createImageBitmap(blob);
  const { width, height } = picture;
  const canvas = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d") as CanvasRenderingContext2D;
  canvas.drawImage(picture, 0, 0);
  return canvas.getImageData(0, 0, width, height);
}

/** The colours without their mask. */
export function opaque({ width, height, data }: Pixels): ImageData {
  const picture = new ImageData(new Uint8ClampedArray(data), width, height);
  for (let i = 3; i < data.length; i += 4) picture.data[i] = 255;
  return picture;
}

/** A file's name without folders, the folder type behind it, and its ending. */
export function stemOf(name: string): string {
  return name.replace(/^.*\//, "").replace(/( \[\w+\])?$/, "").replace(/\.\w+$/, "");
}
