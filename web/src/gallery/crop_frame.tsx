/** A picture with the part that is kept: dragged, resized at its handles, drawn anew outside of it, or all by keys. */

import { useCallback, useRef, type KeyboardEvent, type PointerEvent } from "react";
import { useSay } from "../i18n/catalogue";
import { drawnCrop, HANDLES, movedCrop, resizedCrop, type Handle } from "../model/crop";
import type { Area, Spot } from "../model/mask";
import type { Pixels } from "../model/pixels";
import { opaque } from "./input_picture";

interface CropFrameProps {
  readonly picture: Pixels;
  readonly area: Area;
  readonly ratio: number | null;
  readonly onChange: (area: Area) => void;
  readonly onEnter: () => void;
}

/** What is in hand: the part, one of its handles, or nothing yet of a new part. */
interface Held {
  readonly by: "move" | "draw" | Handle;
  readonly from: Spot;
  readonly area: Area;
}

const SLACK_PX = 4;
const FAR = 10;
const CURSORS: Readonly<Record<string, string>> = {
  "-1-1": "nwse-resize", "11": "nwse-resize", "1-1": "nesw-resize", "-11": "nesw-resize", "0-1": "ns-resize", "01": "ns-resize", "-10": "ew-resize", "10": "ew-resize",
};
const STEPS: Readonly<Record<string, readonly [number, number]>> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function CropFrame({ picture, area, ratio, onChange, onEnter }: CropFrameProps) {
  const say = useSay();
  const held = useRef<Held | null>(null);
  const host = useRef<HTMLDivElement>(null);
  const { width, height } = picture;
  const show = useCallback((element: HTMLCanvasElement | null) => {
    element?.getContext("2d")?.putImageData(opaque(picture), 0, 0);
  }, [picture]);
  const spotOf = (event: PointerEvent): Spot => {
    const box = (host.current as HTMLDivElement).getBoundingClientRect();
    return { x: (event.clientX - box.left) * width / box.width, y: (event.clientY - box.top) * height / box.height };
  };
  const press = (event: PointerEvent, by: Held["by"]) => {
    if (event.button !== 0) return;
    event.stopPropagation();
    event.currentTarget.setPointerCapture(event.pointerId);
    held.current = { by, from: spotOf(event), area };
  };
  const move = (event: PointerEvent) => {
    const now = held.current;
    if (now === null) return;
    const at = spotOf(event);
    const [dx, dy] = [at.x - now.from.x, at.y - now.from.y];
    if (now.by === "move") onChange(movedCrop(now.area, dx, dy, picture));
    else if (now.by !== "draw") onChange(resizedCrop(now.area, now.by, dx, dy, picture, ratio));
    else if (Math.hypot(dx, dy) > SLACK_PX) onChange(drawnCrop(now.from, at, picture, ratio));
  };
  const release = () => void (held.current = null);
  const key = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    if (event.key === "Enter") onEnter();
    else if (step !== undefined) {
      const [dx, dy] = step.map((by) => by * (event.shiftKey ? FAR : 1)) as [number, number];
      const handle: Handle = { x: step[0] === 0 ? 0 : 1, y: step[1] === 0 ? 0 : 1 };
      onChange(event.altKey || event.ctrlKey ? resizedCrop(area, handle, dx, dy, picture, ratio) : movedCrop(area, dx, dy, picture));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const percent = (value: number, whole: number) => `${100 * value / whole}%`;
  return (
    <div
      ref={host} className="relative mx-auto cursor-crosshair touch-none overflow-hidden select-none"
      style={{ aspectRatio: `${width} / ${height}`, width: `min(100%, calc(66dvh * ${width / height}))` }}
      onPointerDown={(event) => press(event, "draw")} onPointerMove={move} onPointerUp={release} onPointerCancel={release}
    >
      <canvas ref={show} width={width} height={height} className="absolute inset-0 size-full" aria-hidden />
      <div
        role="application" tabIndex={0} className="crop-part" onKeyDown={key} onPointerDown={(event) => press(event, "move")}
        aria-label={say("crop.about", { x: area.x, y: area.y, width: area.width, height: area.height })}
        style={{ left: percent(area.x, width), top: percent(area.y, height), width: percent(area.width, width), height: percent(area.height, height) }}
      >
        {HANDLES.map((handle) => (
          <i
            key={`${handle.x}${handle.y}`} className="crop-handle" onPointerDown={(event) => press(event, handle)}
            style={{ left: `${50 + 50 * handle.x}%`, top: `${50 + 50 * handle.y}%`, cursor: CURSORS[`${handle.x}${handle.y}`] }}
          />
        ))}
        <output className="crop-size">{area.width} × {area.height}</output>
      </div>
    </div>
  );
}
