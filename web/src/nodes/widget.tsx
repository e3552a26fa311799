/** The control of one widget, by how it is declared. */

import type { InputSpec } from "../model/catalog";
import { choicesOf } from "../model/catalog";
import type { Json } from "../model/json";
import { takesSigmas } from "../model/sigma_curve";
import { editorText } from "../model/widget_plan";
import type { WidgetView } from "../model/widgets";
import { ColorField } from "./color_field";
import { ComboField } from "./combo_field";
import type { WidgetProps } from "./node_desk";
import { NumberField } from "./number_field";
import { SigmaField } from "./sigma_field";
import { SliderField } from "./slider_field";
import { LineField, TextField } from "./text_field";
import { Toggle } from "./toggle";

export function Widget(props: WidgetProps) {
  const { view, desk } = props;
  if (view.isLinked) return <LinkedField view={view} />;
  switch (kindOf(view)) {
    case "number": return <NumberField {...props} />;
    case "slider": return <SliderField {...props} />;
    case "color": return <ColorField {...props} />;
    case "toggle": return <Toggle {...props} />;
    case "combo": return <ComboField {...props} choices={choicesOf(view.spec as InputSpec, desk.context().listFiles) ?? []} />;
    case "text": return <TextField {...props} />;
    case "line": return <LineField {...props} />;
    case "sigmas": return <SigmaField {...props} />;
    case "fixed": return <Shown view={view} />;
  }
}

type Kind = "number" | "slider" | "color" | "toggle" | "combo" | "text" | "line" | "sigmas" | "fixed";

function kindOf({ spec, value, name }: WidgetView): Kind {
  if (spec === null) return unknownKind(value, name);
  if (spec.options.display === "color") return "color";
  if (spec.type === "INT" || spec.type === "FLOAT") return spec.options.display === "slider" ? "slider" : "number";
  if (spec.type === "BOOLEAN") return "toggle";
  if (spec.type === "COMBO") return "combo";
  if (takesSigmas(spec)) return "sigmas";
  if (spec.type === "STRING") return spec.options.multiline ? "text" : "line";
  return "fixed";
}

/** Values of nodes nobody knows can still be read and changed as what they are. */
function unknownKind(value: Json | undefined, name: string): Kind {
  switch (typeof value) {
    case "number": case "bigint": return "number";
    case "boolean": return "toggle";
    case "string": return name === "text" ? "text" : "line";
    default: return "fixed";
  }
}

/** A link decides: the widget shows that and waits. */
function LinkedField({ view }: { view: WidgetView }) {
  return <div className="field" data-linked=""><span className="field-label">{view.label}</span></div>;
}

function Shown({ view }: { view: WidgetView }) {
  return (
    <div className="field">
      <span className="field-label">{view.label}</span>
      <span className="field-value">{editorText(view.value)}</span>
    </div>
  );
}
