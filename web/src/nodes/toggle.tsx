/** A switch. */

import type { WidgetProps } from "./node_desk";

export function Toggle({ id, desk, view }: WidgetProps) {
  const isOn = view.value === true;
  const { label_on: on, label_off: off } = view.spec?.options ?? {};
  const word = isOn ? on : off;
  return (
    <button
      type="button" className="field" role="switch" aria-checked={isOn} aria-label={view.label} data-own
      onClick={() => desk.setWidget(id, view.name, !isOn)}
    >
      <span className="field-label">{view.label}</span>
      {typeof word === "string" && <span className="field-value">{word}</span>}
      <i className="switch" data-on={isOn ? "" : undefined} />
    </button>
  );
}
