/** A picture that is zoomed by wheel, pinch or double click and dragged; and two of them split by a slider. */

import { useRef, useState, type PointerEvent, type WheelEvent } from "react";
import { useSay } from "../i18n/catalogue";

interface View {
  readonly x: number;
  readonly y: number;
  readonly zoom: number;
}

const FITTED: View = { x: 0, y: 0, zoom: 1 };
const MAX_ZOOM = 16;

function useZoom() {
  const [view, setView] = useState(FITTED);
  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const zoomAt = (factor: number, clientX: number, clientY: number, box: DOMRect) =>
    setView((now) => {
      const zoom = Math.min(MAX_ZOOM, Math.max(1, now.zoom * factor));
      if (zoom === 1) return FITTED;
      const [x, y] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
      const ratio = zoom / now.zoom;
      return { zoom, x: x - (x - now.x) * ratio, y: y - (y - now.y) * ratio };
    });
  return {
    style: { transform: `translate(${view.x}px, ${view.y}px) scale(${view.zoom})` },
    isPixelated: view.zoom >= 4,
    events: {
      onWheel: (event: WheelEvent<HTMLDivElement>) =>
        zoomAt(Math.exp(-event.deltaY / 400), event.clientX, event.clientY, event.currentTarget.getBoundingClientRect()),
      onDoubleClick: (event: React.MouseEvent<HTMLDivElement>) =>
        view.zoom > 1 ? setView(FITTED) : zoomAt(3, event.clientX, event.clientY, event.currentTarget.getBoundingClientRect()),
      onPointerDown: (event: PointerEvent<HTMLDivElement>) => {
        if (event.target instanceof HTMLInputElement) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        pointers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
      },
      onPointerMove: (event: PointerEvent<HTMLDivElement>) => {
        const old = pointers.current.get(event.pointerId);
        if (old === undefined) return;
        const now = { x: event.clientX, y: event.clientY };
        const other = [...pointers.current].find(([id]) => id !== event.pointerId)?.[1];
        pointers.current.set(event.pointerId, now);
        if (other === undefined) {
          setView((each) => (each.zoom === 1 ? each : { ...each, x: each.x + now.x - old.x, y: each.y + now.y - old.y }));
        } else {
          const before = Math.hypot(old.x - other.x, old.y - other.y);
          const after = Math.hypot(now.x - other.x, now.y - other.y);
          if (before > 0) zoomAt(after / before, (now.x + other.x) / 2, (now.y + other.y) / 2, event.currentTarget.getBoundingClientRect());
        }
      },
      onPointerUp: (event: PointerEvent<HTMLDivElement>) => void pointers.current.delete(event.pointerId),
      onPointerCancel: (event: PointerEvent<HTMLDivElement>) => void pointers.current.delete(event.pointerId),
    },
  };
}

const FILL = "absolute inset-0 size-full touch-none overflow-hidden select-none";
const PICTURE = "size-full object-contain p-2";

export function ZoomedPicture({ url, alt }: { url: string; alt: string }) {
  const { style, isPixelated, events } = useZoom();
  return (
    <div className={FILL} {...events}>
      <img src={url} alt={alt} draggable={false} className={`${PICTURE} ${isPixelated ? "[image-rendering:pixelated]" : ""}`} style={style} />
    </div>
  );
}

interface ComparedProps {
  readonly one: string;
  readonly two: string;
  readonly names: readonly [string, string];
}

/** Both have one zoom, so that the same place is compared: above each other with a slider between, or side by side. */
export function ComparedPictures({ one, two, names }: ComparedProps) {
  const say = useSay();
  const { style, isPixelated, events } = useZoom();
  const [split, setSplit] = useState(50);
  const [isBeside, setBeside] = useState(false);
  const picture = `${PICTURE} ${isPixelated ? "[image-rendering:pixelated]" : ""}`;
  const [left, right] = [one, two].map((url, i) => <img src={url} alt={names[i]} draggable={false} className={picture} style={style} />);
  return (
    <>
      {isBeside ? (
        <div className="absolute inset-0 flex gap-px bg-line max-md:flex-col">
          {[left, right].map((image, i) => (
            <div key={names[i]} className="relative min-h-0 min-w-0 flex-1 touch-none overflow-hidden bg-canvas select-none" {...events}>{image}</div>
          ))}
        </div>
      ) : (
        <div className={FILL} {...events}>
          {left}
          <div className="absolute inset-0" style={{ clipPath: `inset(0 0 0 ${split}%)` }}>
            <div className="size-full bg-canvas">{right}</div>
          </div>
          <div className="pointer-events-none absolute inset-y-0 w-px bg-accent" style={{ left: `${split}%` }} />
          <input
            type="range" min={0} max={100} value={split} aria-label={say("gallery.split")}
            className="absolute inset-x-4 bottom-3 accent-accent" onChange={(event) => setSplit(Number(event.target.value))}
          />
        </div>
      )}
      <button
        type="button" aria-pressed={isBeside} onClick={() => setBeside(!isBeside)}
        className="absolute top-2 right-2 rounded-md border border-line bg-surface px-2.5 py-1 text-sm hover:bg-raised aria-pressed:border-accent"
      >
        {say("gallery.beside")}
      </button>
    </>
  );
}
