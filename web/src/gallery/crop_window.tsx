/** Cutting a part out of a picture of the input folder: a copy of that part goes there, and the node loads it. */

import { RefreshCcwDot, RotateCcw } from "lucide-react";
import { useEffect, useState } from "react";
import type { MaskRequest } from "../app/requests";
import type { Session } from "../app/session";
import { writePng } from "../files/png_writing";
import { useSay } from "../i18n/catalogue";
import { cropFrom, croppedMask, croppedPixels, cropText, SHAPES, shapedCrop, shapeRatio, wholeCrop, type PictureSize } from "../model/crop";
import { maskedPixels, type Area } from "../model/mask";
import { Empty, FIELD, IconButton, MAIN_BUTTON, Window } from "../ui/parts";
import { CropFrame } from "./crop_frame";
import { loadPicture, stemOf, type InputPicture } from "./input_picture";

const SOURCE = "crop_source";
const PLACE = "crop_area";
const EDGES = { x: "crop.x", y: "crop.y", width: "crop.width", height: "crop.height" } as const;
const FREE = "free";
const OWN = "own";
type Shape = (typeof SHAPES)[number] | typeof FREE | typeof OWN;

interface Cutting {
  readonly picture: InputPicture;
  /** The widget's name of the whole picture. */
  readonly name: string;
  readonly first: Area;
}

export default function CropWindow({ session, request, onClose }: { session: Session; request: MaskRequest; onClose: () => void }) {
  const say = useSay();
  const [cutting, setCutting] = useState<Cutting | null>(null);
  useEffect(() => {
    let isOver = false;
    load(session, request).then((found) => void (isOver || setCutting(found)), (error: unknown) => session.tell(error));
    return () => void (isOver = true);
  }, [session, request]);
  const save = ({ picture, name }: Cutting, area: Area) => {
    const part = maskedPixels(croppedPixels(picture.pixels, area), croppedMask(picture.mask, area));
    const png = writePng(part, new Map([[SOURCE, name], [PLACE, cropText(area)]]));
    request.done(new File([png as BlobPart], `${stemOf(name)}-part.png`, { type: "image/png" }));
    onClose();
  };
  return (
    <Window title={say("crop.title")} onClose={onClose} className="w-[min(96vw,64rem)]">
      {cutting === null ? <Empty>{say("app.loading")}</Empty> : <Cutter cutting={cutting} onSave={(area) => save(cutting, area)} />}
    </Window>
  );
}

/** A part that was cut before is shown in the whole picture, as long as that is there. */
async function load(session: Session, request: MaskRequest): Promise<Cutting> {
  const own = await loadPicture(session, request);
  const whole = own.texts.get(SOURCE);
  const before = whole === undefined ? null : await loadPicture(session, { ...request, name: whole }).catch(() => null);
  const first = before === null ? null : cropFrom(own.texts.get(PLACE) ?? "", before.pixels);
  if (before !== null && whole !== undefined && first !== null) return { picture: before, name: whole, first };
  return { picture: own, name: request.name, first: wholeCrop({ x: 0, y: 0, ...sizeOf(own) }, sizeOf(own)) };
}

function sizeOf({ pixels }: InputPicture): PictureSize {
  return { width: pixels.width, height: pixels.height };
}

function Cutter({ cutting, onSave }: { cutting: Cutting; onSave: (area: Area) => void }) {
  const say = useSay();
  const size = sizeOf(cutting.picture);
  const [area, setArea] = useState(cutting.first);
  const [shape, setShape] = useState<Shape>(FREE);
  const ratio = shape === FREE ? null : shape === OWN ? size.width / size.height : shapeRatio(shape);
  const choose = (next: Shape) => {
    setShape(next);
    if (next !== FREE) setArea(shapedCrop(area, next === OWN ? size.width / size.height : shapeRatio(next), size));
  };
  const turned = shape === FREE || shape === OWN || shape === "1:1" ? null : (shape.split(":").reverse().join(":") as Shape);
  return (
    <div className="flex flex-col gap-3">
      <div className="flex flex-wrap items-center gap-2">
        <label className="flex items-center gap-2 text-quiet">
          {say("crop.shape")}
          <select className={`${FIELD} w-auto!`} value={shape} onChange={(event) => choose(event.target.value as Shape)}>
            <option value={FREE}>{say("crop.free")}</option>
            <option value={OWN}>{say("crop.own")}</option>
            {SHAPES.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
        <IconButton label={say("crop.turn")} disabled={turned === null} onClick={() => turned !== null && choose(turned)}><RefreshCcwDot size={16} /></IconButton>
        {(Object.keys(EDGES) as (keyof typeof EDGES)[]).map((side) => (
          <Edge key={side} side={side} area={area} size={size} ratio={ratio} onChange={setArea} />
        ))}
        <IconButton label={say("crop.all")} onClick={() => { setShape(FREE); setArea({ x: 0, y: 0, ...size }); }}><RotateCcw size={16} /></IconButton>
        <span className="flex-1" />
        <button type="button" className={MAIN_BUTTON} onClick={() => onSave(area)}>{say("crop.use")}</button>
      </div>
      <CropFrame picture={cutting.picture.pixels} area={area} ratio={ratio} onChange={setArea} onEnter={() => onSave(area)} />
    </div>
  );
}

interface EdgeProps {
  readonly side: keyof typeof EDGES;
  readonly area: Area;
  readonly size: PictureSize;
  readonly ratio: number | null;
  readonly onChange: (area: Area) => void;
}

function Edge({ side, area, size, ratio, onChange }: EdgeProps) {
  const say = useSay();
  const set = (value: number) => {
    if (!Number.isFinite(value)) return;
    const next = { ...area, [side]: value };
    if (ratio !== null && side === "width") next.height = value / ratio;
    if (ratio !== null && side === "height") next.width = value * ratio;
    onChange(wholeCrop(next, size));
  };
  return (
    <label className="flex items-center gap-1 text-quiet">
      {say(EDGES[side])}
      <input
        type="number" className={`${FIELD} w-18! tabular-nums`} min={side === "x" || side === "y" ? 0 : 1} step={1} value={area[side]}
        max={side === "x" || side === "width" ? size.width : size.height} onChange={(event) => set(event.target.valueAsNumber)}
      />
    </label>
  );
}
