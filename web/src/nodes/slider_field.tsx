/** A number between two bounds: by a slider, or typed (maths too). */

import { rangeOf } from "../model/number_text";
import { NumberInput } from "./number_input";
import type { WidgetProps } from "./node_desk";

export function SliderField({ id, desk, view }: WidgetProps) {
  const range = rangeOf(view.spec, view.value);
  const { min, max, step, isWhole } = range;
  const [low, high] = [Number.isFinite(Number(min)) ? Number(min) : 0, Number.isFinite(Number(max)) ? Number(max) : 100];
  const set = (value: number | bigint) => desk.setWidget(id, view.name, value);
  return (
    <div className="field" data-own data-slider="">
      <span className="field-label" title={view.label}>{view.label}</span>
      <input
        className="field-slider" type="range" aria-label={view.label} min={low} max={high} step={step} value={Number(view.value)}
        onChange={(event) => {
          const value = Number(event.target.value);
          set(isWhole ? Math.round(value) : value);
        }}
      />
      <NumberInput view={view} range={range} onSet={set} />
    </div>
  );
}
