/** A number between two bounds, by a slider. */

import { rangeOf, shownNumber } from "../model/number_text";
import type { WidgetProps } from "./node_desk";

export function SliderField({ id, desk, view }: WidgetProps) {
  const { min, max, step, isWhole } = rangeOf(view.spec, view.value);
  const [low, high] = [Number.isFinite(Number(min)) ? Number(min) : 0, Number.isFinite(Number(max)) ? Number(max) : 100];
  return (
    <label className="field" data-own>
      <span className="field-label">{view.label}</span>
      <input
        className="field-slider" type="range" min={low} max={high} step={step} value={Number(view.value)}
        onChange={(event) => {
          const value = Number(event.target.value);
          desk.setWidget(id, view.name, isWhole ? Math.round(value) : value);
        }}
      />
      <output className="field-value">{shownNumber(view.value)}</output>
    </label>
  );
}
