/** A colour, kept as the node wants it: a number (0xRRGGBB) or text ("#rrggbb"). */

import type { Json } from "../model/json";
import type { WidgetProps } from "./node_desk";

export function ColorField({ id, desk, view }: WidgetProps) {
  const isNumber = view.spec?.type === "INT";
  const shown = hexOf(view.value);
  return (
    <label className="field" data-own>
      <span className="field-label">{view.label}</span>
      <span className="field-value">{shown}</span>
      <input
        className="field-color" type="color" value={shown} aria-label={view.label}
        onChange={(event) => {
          const text = event.target.value;
          desk.setWidget(id, view.name, isNumber ? Number.parseInt(text.slice(1), 16) : text);
        }}
      />
    </label>
  );
}

function hexOf(value: Json | undefined): string {
  if (typeof value === "number") return `#${Math.min(0xffffff, Math.max(0, Math.trunc(value))).toString(16).padStart(6, "0")}`;
  return typeof value === "string" && /^#[0-9a-fA-F]{6}$/.test(value) ? value.toLowerCase() : "#000000";
}
