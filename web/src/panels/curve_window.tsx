/** Noise levels of a node as a curve: points are dragged, or moved, added and taken away by keys; the text stays below it. */

import { useEffect, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import { useStore } from "zustand";
import type { CurveRequest } from "../app/requests";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import {
  heightOf, MAX_HANDLES, MAX_STEPS, resampled, sigmaAt, sigmasFrom, sigmaText, withMore, without, withSigma,
} from "../model/sigma_curve";
import { useDocument } from "../ui/hooks";
import { Empty, FIELD, Window } from "../ui/parts";

const BOX = { width: 640, height: 300, left: 44, right: 14, top: 14, bottom: 26 };
const PLOT = { width: BOX.width - BOX.left - BOX.right, height: BOX.height - BOX.top - BOX.bottom };
/** Room above the highest level, so that it can be dragged up too. */
const HEADROOM = 1.25;
const KEY_STEP = 0.01;
const KEY_LEAP = 0.05;

type Levels = readonly number[];
/** Changes the levels as they are by now: keys may come faster than pictures. */
type Change = (levels: Levels) => Levels;

export default function CurveWindow({ session, request, onClose }: { session: Session; request: CurveRequest; onClose: () => void }) {
  const say = useSay();
  useDocument(useStore(session.store, (state) => state.open));
  const text = request.read();
  const levels = sigmasFrom(text);
  return (
    <Window title={request.label} onClose={onClose} className="w-[min(96vw,44rem)]">
      <div className="flex flex-col gap-3">
        {levels === null
          ? <Empty>{say("curve.notNumbers")}</Empty>
          : <Curve levels={levels} onChange={(change) => request.set(sigmaText(change(sigmasFrom(request.read()) ?? levels)))} />}
        <textarea
          rows={2} className={`${FIELD} resize-y tabular-nums`} aria-label={say("curve.text")} spellCheck={false} value={text}
          onChange={(event) => request.set(event.target.value)}
        />
        <p className="text-xs text-quiet">{say("curve.keys")}</p>
      </div>
    </Window>
  );
}

function Curve({ levels, onChange }: { levels: Levels; onChange: (change: Change) => void }) {
  const say = useSay();
  const [held, setHeld] = useState<{ readonly at: number; readonly top: number } | null>(null);
  const picture = useRef<SVGSVGElement>(null);
  const focus = useRef<number | null>(null);
  const top = held?.top ?? Math.max(...levels) * HEADROOM;
  const last = Math.max(1, levels.length - 1);
  const x = (i: number) => BOX.left + PLOT.width * i / last;
  const y = (value: number) => BOX.top + PLOT.height * (1 - heightOf(value, top));
  useEffect(() => {
    if (focus.current === null) return;
    picture.current?.querySelectorAll<SVGElement>("[role=slider]")[focus.current]?.focus();
    focus.current = null;
  }, [levels]);
  const move = (event: PointerEvent) => {
    if (held === null || picture.current === null) return;
    const box = picture.current.getBoundingClientRect();
    const height = 1 - ((event.clientY - box.top) * BOX.height / box.height - BOX.top) / PLOT.height;
    onChange((now) => withSigma(now, held.at, sigmaAt(height, held.top)));
  };
  const stepsTo = (count: number) => {
    if (Number.isFinite(count)) onChange((now) => resampled(now, count));
  };
  const key = (event: KeyboardEvent, at: number) => {
    const step = event.shiftKey ? KEY_LEAP : KEY_STEP;
    const raise = (by: number) => onChange((now) => withSigma(now, at, raised(now[at] as number, top, by)));
    const go = (to: number) => picture.current?.querySelectorAll<SVGElement>("[role=slider]")[Math.min(levels.length - 1, Math.max(0, to))]?.focus();
    switch (event.key) {
      case "ArrowUp": raise(step); break;
      case "ArrowDown": raise(-step); break;
      case "ArrowLeft": go(at - 1); break;
      case "ArrowRight": go(at + 1); break;
      case "Home": go(0); break;
      case "End": go(levels.length - 1); break;
      case "Insert": case "+": onChange((now) => withMore(now, at)); break;
      case "Delete": case "-":
        focus.current = Math.min(at, levels.length - 2);
        onChange((now) => without(now, at));
        break;
      default: return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  const line = levels.map((value, i) => `${x(i)},${y(value)}`).join(" ");
  return (
    <>
      <label className="flex items-center gap-2 text-quiet">
        {say("curve.steps")}
        <input
          type="number" className={`${FIELD} w-20! tabular-nums`} min={1} max={MAX_STEPS} value={levels.length - 1}
          onChange={(event) => stepsTo(event.target.valueAsNumber)}
        />
        <span className="flex-1 text-right">{say("curve.about", { first: String(levels[0]), last: String(levels.at(-1)) })}</span>
      </label>
      <svg
        ref={picture} viewBox={`0 0 ${BOX.width} ${BOX.height}`} className="w-full touch-none rounded-lg border border-line bg-canvas select-none" role="group"
        aria-label={say("curve.picture")} onPointerMove={move} onPointerUp={() => setHeld(null)} onPointerCancel={() => setHeld(null)}
      >
        {ticksTo(top).map((value) => (
          <g key={value} className="text-[11px] text-quiet">
            <line x1={BOX.left} x2={BOX.width - BOX.right} y1={y(value)} y2={y(value)} className="stroke-line" />
            <text x={BOX.left - 6} y={y(value)} textAnchor="end" dominantBaseline="middle" className="fill-quiet">{value}</text>
          </g>
        ))}
        <text x={x(0)} y={BOX.height - 9} textAnchor="middle" className="fill-quiet text-[11px]">0</text>
        <text x={x(last)} y={BOX.height - 9} textAnchor="end" className="fill-quiet text-[11px]">{last}</text>
        <polygon points={`${BOX.left},${y(0)} ${line} ${x(levels.length - 1)},${y(0)}`} className="fill-accent/15" />
        <polyline points={line} fill="none" strokeWidth={2} strokeLinejoin="round" className="stroke-accent" />
        {levels.length <= MAX_HANDLES && levels.map((value, i) => (
          <circle
            key={i} cx={x(i)} cy={y(value)} r={held?.at === i ? 7 : 5} tabIndex={i === 0 ? 0 : -1} role="slider" aria-orientation="vertical"
            aria-label={say("curve.point", { at: i + 1, count: levels.length })} aria-valuenow={value} aria-valuemin={0} aria-valuemax={Number(top.toPrecision(6))}
            className="curve-point fill-accent" onKeyDown={(event) => key(event, i)}
            onPointerDown={(event) => {
              if (event.button !== 0) return;
              event.currentTarget.setPointerCapture(event.pointerId);
              setHeld({ at: i, top });
            }}
          />
        ))}
      </svg>
    </>
  );
}

/** A key may go past the top of the picture, which grows with it. */
function raised(value: number, top: number, by: number): number {
  const next = sigmaAt(heightOf(value, top) + by, top);
  return by < 0 || next > value ? next : value * (1 + by);
}

/** Powers of ten up to the top, and 0. */
function ticksTo(top: number): readonly number[] {
  const highest = Math.floor(Math.log10(top || 1));
  return [0, ...[2, 1, 0].map((below) => Number((10 ** (highest - below)).toPrecision(3)))];
}
