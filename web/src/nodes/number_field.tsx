/**
 * A number: drag to change it, click to type (maths too), arrows to step; shift for ten steps, alt for a tenth. A seed has
 * its control beside the value.
 */

import { useRef, type KeyboardEvent, type PointerEvent } from "react";
import { Dices, History, Lock, Minus, Plus, Shuffle } from "lucide-react";
import { useSay } from "../i18n/catalogue";
import { rangeOf, stepped, type NumberRange } from "../model/number_text";
import { CONTROLS } from "../model/seeds";
import { sameJson } from "../model/json";
import { NumberInput } from "./number_input";
import type { WidgetProps } from "./node_desk";

const SLACK_PX = 3;
const PX_PER_STEP = 4;

interface Drag {
  /** When it began, by which it is told from others. */
  readonly since: number;
  readonly x: number;
  done: number;
  isMoving: boolean;
}

/** How far one step of a key or a drag goes. Whole numbers have no tenths. */
function stride(event: { readonly shiftKey: boolean; readonly altKey: boolean }, { isWhole }: NumberRange): number {
  return event.shiftKey ? 10 : event.altKey && !isWhole ? 0.1 : 1;
}

export function NumberField({ id, desk, view }: WidgetProps) {
  const say = useSay();
  const drag = useRef<Drag | null>(null);
  const range = rangeOf(view.spec, view.value);
  const set = (value: number | bigint) => desk.setWidget(id, view.name, value);
  const step = (steps: number, dragged?: number) => desk.setWidget(id, view.name, stepped(view.value, steps, range), dragged);
  const key = (event: KeyboardEvent<HTMLInputElement>) => {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    event.preventDefault();
    step((event.key === "ArrowUp" ? 1 : -1) * stride(event, range));
  };
  const press = (event: PointerEvent<HTMLInputElement>) => {
    if (event.button !== 0 || document.activeElement === event.currentTarget) return;
    event.preventDefault();
    event.currentTarget.setPointerCapture(event.pointerId);
    drag.current = { since: event.timeStamp, x: event.clientX, done: 0, isMoving: false };
  };
  const move = (event: PointerEvent<HTMLInputElement>) => {
    const now = drag.current;
    if (now === null) return;
    const by = event.clientX - now.x;
    if (!now.isMoving && Math.abs(by) < SLACK_PX) return;
    now.isMoving = true;
    const steps = Math.trunc(by / PX_PER_STEP);
    if (steps !== now.done) step((steps - now.done) * stride(event, range), now.since);
    now.done = steps;
  };
  const release = (event: PointerEvent<HTMLInputElement>) => {
    if (drag.current !== null && !drag.current.isMoving) {
      event.currentTarget.focus();
      event.currentTarget.select();
    }
    drag.current = null;
  };
  return (
    <div className="field" data-own>
      <span className="field-label" title={view.label}>{view.label}</span>
      <button type="button" className="step" tabIndex={-1} aria-label={say("node.less", { name: view.label })} onClick={() => step(-1)}>‹</button>
      <NumberInput
        view={view} range={range} onSet={set}
        onKey={key} onPointerDown={press} onPointerMove={move} onPointerUp={release} onPointerCancel={() => (drag.current = null)}
      />
      <button type="button" className="step" tabIndex={-1} aria-label={say("node.more", { name: view.label })} onClick={() => step(1)}>›</button>
      {view.control !== null && <SeedControl id={id} desk={desk} view={view} />}
    </div>
  );
}

const SIGNS = { fixed: Lock, increment: Plus, decrement: Minus, randomize: Shuffle } as const;

function SeedControl({ id, desk, view }: WidgetProps) {
  const say = useSay();
  const control = view.control ?? "fixed";
  const nameOf = (name: string) => (Object.hasOwn(SIGNS, name) ? say(`control.${name as keyof typeof SIGNS}`) : name);
  const Sign = SIGNS[control as keyof typeof SIGNS] ?? Lock;
  const last = desk.lastUsed(id, view.name);
  const hasLast = last !== undefined && !sameJson(last, view.value) && (typeof last === "number" || typeof last === "bigint");
  return (
    <>
      {hasLast && (
        <button type="button" className="icon" aria-label={say("node.lastValue", { name: view.label })} title={say("node.lastRun", { value: String(last) })}
          onClick={() => {
            desk.setWidget(id, view.name, last);
            desk.setControl(id, view.name, "fixed");
          }}>
          <History size={14} />
        </button>
      )}
      <button type="button" className="icon" aria-label={say("node.random", { name: view.label })} title={say("node.random", { name: view.label })}
        onClick={() => desk.randomSeed(id, view.name)}>
        <Dices size={14} />
      </button>
      <span className="icon after" title={say("node.afterIs", { control: nameOf(control) })}>
        <Sign size={14} />
        <select value={control} aria-label={say("node.after", { name: view.label })} onChange={(event) => desk.setControl(id, view.name, event.target.value)}>
          {CONTROLS.map((name) => <option key={name} value={name}>{nameOf(name)}</option>)}
        </select>
      </span>
    </>
  );
}
