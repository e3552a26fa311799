/** Noise levels as text, with their curve beside them as the button that opens it large. */

import { useSay } from "../i18n/catalogue";
import { heightOf, sigmasFrom } from "../model/sigma_curve";
import { editorText } from "../model/widget_plan";
import type { WidgetProps } from "./node_desk";
import { LineField } from "./text_field";

const SIZE = { width: 28, height: 16 };

export function SigmaField(props: WidgetProps) {
  const { id, desk, view } = props;
  const say = useSay();
  const levels = sigmasFrom(editorText(view.value)) ?? [];
  const [top, last] = [Math.max(0, ...levels), Math.max(1, levels.length - 1)];
  const points = levels.map((value, i) => `${1 + (SIZE.width - 2) * i / last},${1 + (SIZE.height - 2) * (1 - heightOf(value, top))}`);
  return (
    <div className="field-with-button">
      <LineField {...props} />
      <button type="button" className="icon curve-button" data-own aria-label={say("curve.open", { name: view.label })} title={say("curve.open", { name: view.label })}
        onClick={() => desk.openCurve(id, view.name, view.label)}>
        <svg viewBox={`0 0 ${SIZE.width} ${SIZE.height}`} {...SIZE} aria-hidden>
          <polyline points={points.length > 1 ? points.join(" ") : `1,1 ${SIZE.width - 1},${SIZE.height - 1}`} fill="none" stroke="currentColor" strokeWidth={1.5} strokeLinejoin="round" />
        </svg>
      </button>
    </div>
  );
}
