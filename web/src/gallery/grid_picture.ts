/** A labelled grid as one picture. */

import type { GridRun } from "../model/grid";

const MAX_CELL = 512;
const MAX_SIDE = 8192;
const GAP = 8;
const LABEL = 40;

/** Draws what there is; cells without a picture stay empty. Raises Error when the browser cannot. */
export async function gridPicture(run: GridRun, textOf: (value: unknown) => string): Promise<Blob> {
  const pictures = await Promise.all(run.jobs.map(async (job) => ({ job, image: job.picture === null ? null : await load(job.picture) })));
  const [columns, rows] = [run.x.values.length, run.y?.values.length ?? 1];
  const widest = Math.max(1, ...pictures.map(({ image }) => image?.naturalWidth ?? 0));
  const tallest = Math.max(1, ...pictures.map(({ image }) => image?.naturalHeight ?? 0));
  const left = run.y === null ? GAP : LABEL * 3;
  const scale = Math.min(1, MAX_CELL / Math.max(widest, tallest), (MAX_SIDE - left) / columns / (widest + GAP), (MAX_SIDE - LABEL) / rows / (tallest + GAP));
  const [width, height] = [Math.round(widest * scale), Math.round(tallest * scale)];
  const canvas = document.createElement("canvas");
  canvas.width = left + columns * (width + GAP);
  canvas.height = 2 * LABEL + rows * (height + GAP);
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("The browser cannot draw.");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#111";
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.font = "600 16px sans-serif";
  context.fillText(run.y === null ? run.x.label : `${run.x.label} × ${run.y.label}`, canvas.width / 2, LABEL / 2, canvas.width - 2 * GAP);
  context.font = "15px sans-serif";
  run.x.values.forEach((value, i) => context.fillText(textOf(value), left + i * (width + GAP) + width / 2, LABEL * 1.5, width));
  context.textAlign = "right";
  run.y?.values.forEach((value, i) => context.fillText(textOf(value), left - GAP, 2 * LABEL + i * (height + GAP) + height / 2, left - 2 * GAP));
  for (const { job, image } of pictures) {
    if (image === null) continue;
    const fit = Math.min(width / image.naturalWidth, height / image.naturalHeight);
    const [w, h] = [image.naturalWidth * fit, image.naturalHeight * fit];
    context.drawImage(image, left + job.column * (width + GAP) + (width - w) / 2, 2 * LABEL + job.row * (height + GAP) + (height - h) / 2, w, h);
  }
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob === null ? reject(new Error("The browser cannot make the picture.")) : resolve(blob)), "image/png"));
}

async function load(url: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}
