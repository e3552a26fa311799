/** Painting a mask over a picture of the input folder: what is painted becomes see-through in a copy of it. */

import { Brush as BrushIcon, Contrast, Eraser, Trash2, Undo2 } from "lucide-react";
import { useCallback, useEffect, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import type { MaskRequest } from "../app/requests";
import type { Session } from "../app/session";
import { writePng } from "../files/png_writing";
import { useSay } from "../i18n/catalogue";
import { emptyMask, invertedMask, maskedPixels, paintStroke, type Area, type Mask, type Spot } from "../model/mask";
import type { Pixels } from "../model/pixels";
import { Empty, IconButton, MAIN_BUTTON, PLAIN_BUTTON, Window } from "../ui/parts";
import { loadPicture, MASK_SOURCE, opaque, stemOf } from "./input_picture";

/** Masks before a change are kept up to this size. */
const UNDO_BYTES = 96 * 1024 * 1024;
const SHOWN = [255, 64, 96, 150] as const;

interface Painting {
  readonly pixels: Pixels;
  readonly source: string;
  mask: Mask;
  readonly before: Mask[];
}

export default function MaskWindow({ session, request, onClose }: { session: Session; request: MaskRequest; onClose: () => void }) {
  const say = useSay();
  const [painting, setPainting] = useState<Painting | null>(null);
  const [isAsking, setAsking] = useState(false);
  useEffect(() => {
    let isOver = false;
    loadPicture(session, request).then((found) => void (isOver || setPainting({ ...found, before: [] })), (error: unknown) => session.tell(error));
    return () => void (isOver = true);
  }, [session, request]);
  const save = (done: Painting) => {
    const png = writePng(maskedPixels(done.pixels, done.mask), new Map([[MASK_SOURCE, done.source]]));
    request.done(new File([png as BlobPart], `${stemOf(done.source)}-masked.png`, { type: "image/png" }));
    onClose();
  };
  // What was painted is never lost by a key that was meant for something else.
  const close = () => {
    if (painting === null || painting.before.length === 0) onClose();
    else setAsking(!isAsking);
  };
  return (
    <Window title={say("mask.title")} onClose={close} className="w-[min(96vw,64rem)]">
      {isAsking && <Question onKeep={() => setAsking(false)} onDiscard={onClose} />}
      {painting === null ? <Empty>{say("app.loading")}</Empty> : <Painter painting={painting} onSave={() => save(painting)} />}
    </Window>
  );
}

function Question({ onKeep, onDiscard }: { onKeep: () => void; onDiscard: () => void }) {
  const say = useSay();
  return (
    <div role="alertdialog" aria-labelledby="mask-question" className="mb-3 flex flex-wrap items-center gap-2 rounded-lg border border-danger bg-raised px-3 py-2">
      <p id="mask-question" className="flex-1">{say("mask.unsaved")}</p>
      <button type="button" autoFocus className={MAIN_BUTTON} onClick={onKeep}>{say("mask.keep")}</button>
      <button type="button" className={PLAIN_BUTTON} onClick={onDiscard}>{say("mask.discard")}</button>
    </div>
  );
}

function Painter({ painting, onSave }: { painting: Painting; onSave: () => void }) {
  const say = useSay();
  const { width, height } = painting.pixels;
  const [size, setSize] = useState(Math.max(4, Math.round(Math.max(width, height) / 16)));
  const [softness, setSoftness] = useState(0.3);
  const [erases, setErases] = useState(false);
  const [numSteps, setNumSteps] = useState(0);
  const above = useRef<HTMLCanvasElement>(null);
  const last = useRef<Spot | null>(null);
  const show = (area: Area) => showMask(above.current, painting.mask, area);
  const showPicture = useCallback((element: HTMLCanvasElement | null) => {
    element?.getContext("2d")?.putImageData(opaque(painting.pixels), 0, 0);
  }, [painting]);
  const all = { x: 0, y: 0, width, height };
  useEffect(() => showMask(above.current, painting.mask, { x: 0, y: 0, width, height }), [painting, width, height]);
  const remember = () => {
    painting.before.push({ ...painting.mask, data: painting.mask.data.slice() });
    while (painting.before.length * width * height > UNDO_BYTES && painting.before.length > 1) painting.before.shift();
    setNumSteps(painting.before.length);
  };
  const change = (next: Mask) => {
    remember();
    painting.mask = next;
    show(all);
  };
  const undo = () => {
    painting.mask = painting.before.pop() ?? painting.mask;
    setNumSteps(painting.before.length);
    show(all);
  };
  const stroke = (event: PointerEvent<HTMLCanvasElement>, isFirst: boolean) => {
    const box = event.currentTarget.getBoundingClientRect();
    const spot = { x: (event.clientX - box.left) * width / box.width, y: (event.clientY - box.top) * height / box.height };
    if (isFirst) remember();
    // The other end of a pen erases, as does the right button.
    const isEraser = erases || (event.buttons & 34) !== 0;
    show(paintStroke(painting.mask, last.current ?? spot, spot, { radius: size / 2, softness, erases: isEraser }));
    last.current = spot;
  };
  const key = (event: KeyboardEvent) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
    else if (event.key === "[" || event.key === "]") setSize((now) => Math.max(1, Math.round(event.key === "]" ? now * 1.2 + 1 : now / 1.2)));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div className="flex flex-col gap-3" onKeyDown={key}>
      <div className="flex flex-wrap items-center gap-2">
        <IconButton label={say("mask.brush")} aria-pressed={!erases} onClick={() => setErases(false)}><BrushIcon size={16} /></IconButton>
        <IconButton label={say("mask.eraser")} aria-pressed={erases} onClick={() => setErases(true)}><Eraser size={16} /></IconButton>
        <label className="flex items-center gap-2 text-quiet">
          {say("mask.size")}
          <input type="range" min={1} max={Math.max(16, Math.round(Math.max(width, height) / 2))} value={size} onChange={(event) => setSize(event.target.valueAsNumber)} />
        </label>
        <label className="flex items-center gap-2 text-quiet">
          {say("mask.softness")}
          <input type="range" min={0} max={1} step={0.05} value={softness} onChange={(event) => setSoftness(event.target.valueAsNumber)} />
        </label>
        <IconButton label={say("menu.undo")} disabled={numSteps === 0} onClick={undo}><Undo2 size={16} /></IconButton>
        <IconButton label={say("mask.invert")} onClick={() => change(invertedMask(painting.mask))}><Contrast size={16} /></IconButton>
        <IconButton label={say("mask.clear")} onClick={() => change(emptyMask(width, height))}><Trash2 size={16} /></IconButton>
        <span className="flex-1" />
        <button type="button" className={MAIN_BUTTON} onClick={onSave}>{say("mask.use")}</button>
      </div>
      <div className="relative mx-auto" style={{ aspectRatio: `${width} / ${height}`, width: `min(100%, calc(68dvh * ${width / height}))` }}>
        <canvas
          width={width} height={height} className="absolute inset-0 size-full" aria-hidden
          ref={showPicture}
        />
        <canvas
          ref={above} width={width} height={height} role="application" tabIndex={0} aria-label={say("mask.canvas")}
          className="absolute inset-0 size-full cursor-crosshair touch-none focus-visible:outline-2 focus-visible:outline-accent" onContextMenu={(event) => event.preventDefault()}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            last.current = null;
            stroke(event, true);
          }}
          onPointerMove={(event) => last.current !== null && stroke(event, false)}
          onPointerUp={() => void (last.current = null)} onPointerCancel={() => void (last.current = null)}
        />
      </div>
    </div>
  );
}

function showMask(element: HTMLCanvasElement | null, mask: Mask, { x, y, width, height }: Area): void {
  if (element === null || width === 0 || height === 0) return;
  const picture = new ImageData(width, height);
  const [red, green, blue, opacity] = SHOWN;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const value = mask.data[(y + row) * mask.width + x + column] as number;
      picture.data.set([red, green, blue, (value * opacity) / 255], 4 * (row * width + column));
    }
  }
  element.getContext("2d")?.putImageData(picture, x, y);
}
