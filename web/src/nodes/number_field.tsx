/** A number: drag to change it, click to type (maths too), arrows to step. A seed has its control beside the value. */

import { useEffect, useRef, type KeyboardEvent, type PointerEvent } from "react";
import { Dices, History, Lock, Minus, Plus, Shuffle } from "lucide-react";
import { useSay } from "../i18n/catalogue";
import { numberFrom, rangeOf, shownNumber, stepped } from "../model/number_text";
import { CONTROLS } from "../model/seeds";
import { sameJson } from "../model/json";
import type { WidgetProps } from "./node_desk";

const SLACK_PX = 3;
const PX_PER_STEP = 4;

export function NumberField({ id, desk, view }: WidgetProps) {
  const field = useRef<HTMLInputElement>(null);
  const drag = useRef<{ x: number; done: number; isMoving: boolean } | null>(null);
  const range = rangeOf(view.spec, view.value);
  const shown = shownNumber(view.value);
  useEffect(() => {
    if (field.current !== null) field.current.value = shown;
  }, [shown]);
  const set = (value: number | bigint) => desk.setWidget(id, view.name, value);
  const step = (steps: number) => set(stepped(view.value, steps, range));
  const commit = () => {
    const input = field.current as HTMLInputElement;
    const value = numberFrom(input.value, range);
    if (value !== null && value !== view.value) set(value);
    input.value = shownNumber(value ?? view.value);
  };
  const key = (event: KeyboardEvent<HTMLInputElement>) => {
    const by = event.shiftKey ? 10 : 1;
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      step(event.key === "ArrowUp" ? by : -by);
    } else if (event.key === "Enter") event.currentTarget.blur();
    else if (event.key === "Escape") {
      event.currentTarget.value = shown;
      event.currentTarget.blur();
    }
  };
  const press = (event: PointerEvent<HTMLInputElement>) => {
    if (event.button !== 0 || document.activeElement === event.currentTarget) return;
    event.preventDefault();
    event.currentTarget.setPointerCapture(event.pointerId);
    drag.current = { x: event.clientX, done: 0, isMoving: false };
  };
  const move = (event: PointerEvent<HTMLInputElement>) => {
    const now = drag.current;
    if (now === null) return;
    const by = event.clientX - now.x;
    if (!now.isMoving && Math.abs(by) < SLACK_PX) return;
    now.isMoving = true;
    const steps = Math.trunc(by / PX_PER_STEP) * (event.shiftKey ? 10 : 1);
    if (steps !== now.done) step(steps - now.done);
    now.done = steps;
  };
  const release = (event: PointerEvent<HTMLInputElement>) => {
    if (drag.current !== null && !drag.current.isMoving) {
      event.currentTarget.focus();
      event.currentTarget.select();
    }
    drag.current = null;
  };
  const say = useSay();
  const bound = (value: number | bigint) => (Math.abs(Number(value)) === Infinity ? undefined : Number(value));
  return (
    <div className="field" data-own>
      <span className="field-label" title={view.label}>{view.label}</span>
      <button type="button" className="step" tabIndex={-1} aria-label={say("node.less", { name: view.label })} onClick={() => step(-1)}>‹</button>
      <input
        ref={field} className="field-number" type="text" inputMode="decimal" role="spinbutton" aria-label={view.label}
        aria-valuenow={Number(view.value)} aria-valuemin={bound(range.min)} aria-valuemax={bound(range.max)}
        defaultValue={shown} autoComplete="off" spellCheck={false}
        onKeyDown={key} onBlur={commit} onPointerDown={press} onPointerMove={move} onPointerUp={release}
        onPointerCancel={() => (drag.current = null)}
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
