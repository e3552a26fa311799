/** The shown graph as a picture file that opens again as the workflow: PNG for sharing, SVG that stays sharp. */

import type { Drawing } from "../canvas/drawing";
import { paint } from "../canvas/painter";
import type { Picture } from "../canvas/picture";
import { SvgDrawing } from "../canvas/svg_drawing";
import { readTheme, type Theme } from "../canvas/theme";
import { pngWithWorkflow, svgMetadata } from "../files/workflow_pictures";
import { Scene } from "../geometry/scene";
import { grown } from "../geometry/shapes";
import type { Json } from "../model/json";
import { ROOT, type NodeId } from "../model/records";
import { factsOf } from "../model/run_facts";
import { editorText } from "../model/widget_plan";
import { widgetsOf } from "../model/widgets";
import { saveWorkflow } from "../model/workflow_file";
import { urlOf } from "../server/client";
import { inputPictureAddress } from "../server/input_pictures";
import type { Session } from "./session";

const MARGIN = 24;
/** Twice the size of the graph, as far as browsers make pictures of that size. */
const SCALE = 2;
const MAX_SIDE_PX = 12_000;
const MAX_PIXELS = 60_000_000;
const THUMBNAIL_PX = 512;

export async function graphPng(session: Session): Promise<Blob> {
  const { picture, theme, workflow } = await sitting(session);
  const { width, height } = picture.size;
  const scale = Math.min(SCALE, MAX_SIDE_PX / Math.max(width, height), Math.sqrt(MAX_PIXELS / (width * height)));
  const canvas = Object.assign(document.createElement("canvas"), { width: Math.ceil(width * scale), height: Math.ceil(height * scale) });
  paint(canvas.getContext("2d") as CanvasRenderingContext2D, { ...picture, pixelRatio: scale }, theme);
  const blob = await new Promise<Blob>((resolve, reject) =>
    canvas.toBlob((made) => (made === null ? reject(new Error("The browser makes no picture of this size.")) : resolve(made)), "image/png"));
  const png = pngWithWorkflow(new Uint8Array(await blob.arrayBuffer()), workflow);
  return new Blob([png as BlobPart], { type: "image/png" });
}

export async function graphSvg(session: Session): Promise<Blob> {
  const { picture, theme, workflow } = await sitting(session);
  return new Blob([svgOf(picture, theme, workflow, dataAddress)], { type: "image/svg+xml" });
}

/** The document of a picture of a graph, with its workflow. */
export function svgOf(picture: Picture, theme: Theme, workflow: Json, addressOf: (image: CanvasImageSource) => string): string {
  const drawing = new SvgDrawing(addressOf);
  const canvas: Drawing = drawing;
  paint(canvas, { ...picture, newPath: () => drawing.newPath() }, theme);
  return drawing.document(picture.size.width, picture.size.height, svgMetadata(workflow));
}

/** The graph as it sits for its picture: all of it, at zoom 1, with the pictures its nodes show. */
async function sitting(session: Session): Promise<{ picture: Picture; theme: Theme; workflow: Json }> {
  const { open } = session.store.getState();
  const context = session.contextOf(open.document);
  const scene = new Scene(context, open.graph.id);
  const images = await picturesOf(session, open.graph.nodes.ids);
  return {
    picture: { ...framed(scene), context, imageOf: (id) => images.get(id) ?? null, newPath: () => new Path2D() },
    theme: readTheme(document.getElementById("graph") ?? document.documentElement),
    workflow: saveWorkflow(open.document) as Json,
  };
}

/** Everything of a scene, with a margin. */
export function framed(scene: Scene): Pick<Picture, "scene" | "viewport" | "size" | "pixelRatio" | "mounted" | "hasGrid"> {
  const { x, y, width, height } = grown(scene.bounds() ?? { x: 0, y: 0, width: 1, height: 1 }, MARGIN);
  return { scene, viewport: { x, y, zoom: 1 }, size: { width, height }, pixelRatio: 1, mounted: new Set(), hasGrid: false };
}

async function picturesOf(session: Session, ids: readonly NodeId[]): Promise<ReadonlyMap<NodeId, HTMLImageElement>> {
  const found = await Promise.all(ids.map(async (id) => {
    const address = pictureOf(session, id);
    if (address === null) return [];
    const image = new Image();
    image.src = address;
    // A picture that is gone is left out.
    return image.decode().then(() => [[id, image] as const], () => []);
  }));
  return new Map(found.flat());
}

/** What a node shows: the picture it loads, or the last one it made. */
function pictureOf(session: Session, id: NodeId): string | null {
  const { open } = session.store.getState();
  const record = open.graph.nodes.byId.get(id);
  const views = record === undefined ? [] : widgetsOf(session.contextOf(open.document), open.graph, record);
  const source = views.find((view) => view.spec?.options.image_upload === true && !view.isLinked);
  if (source !== undefined && editorText(source.value) !== "") return inputPictureAddress(editorText(source.value));
  const asset = factsOf(session.board.of(open), id, open.graph.id === ROOT)?.pictures.at(-1);
  return asset === undefined ? null : urlOf("/assets/{asset}/thumbnail", { asset }, { size: THUMBNAIL_PX });
}

/** A picture within the document, for an SVG has no files beside it. */
function dataAddress(image: CanvasImageSource): string {
  const { naturalWidth, naturalHeight } = image as HTMLImageElement;
  const scale = Math.min(1, THUMBNAIL_PX / Math.max(naturalWidth, naturalHeight));
  const [width, height] = [Math.round(naturalWidth * scale), Math.round(naturalHeight * scale)];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d")?.drawImage(image, 0, 0, width, height);
  return canvas.toDataURL("image/webp", 0.85);
}
