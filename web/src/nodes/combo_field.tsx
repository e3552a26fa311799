/** A choice out of a list, with search. A value the list does not have is red and offers the nearest. */

import { useRef, useState } from "react";
import { Brush, ChevronDown, Crop, Upload } from "lucide-react";
import { useSay, type Say } from "../i18n/catalogue";
import { fileChoices } from "../model/catalog";
import type { Json } from "../model/json";
import { favouritesKey } from "../model/choice_order";
import { nearestName } from "../model/near_match";
import { editorText } from "../model/widget_plan";
import { ChoiceList } from "./choice_list";
import type { WidgetProps } from "./node_desk";

export function ComboField({ id, desk, view, choices }: WidgetProps & { choices: readonly Json[] }) {
  const say = useSay();
  const button = useRef<HTMLButtonElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const [at, setAt] = useState<DOMRect | null>(null);
  const value = editorText(view.value);
  const isMissing = value === "" ? choices.length > 0 : !choices.some((item) => editorText(item) === value);
  const nearest = isMissing ? nearestName(value, choices.map(editorText)) : null;
  const takesPictures = view.spec?.options.image_upload === true;
  const files = view.spec === null ? null : fileChoices(view.spec);
  const shown = files !== null ? value.replace(/^.*[\\/]/, "") : value;
  const choose = (text: string) => {
    const found = choices.find((item) => editorText(item) === text);
    if (found !== undefined) desk.setWidget(id, view.name, found);
  };
  return (
    <div className="field" data-own data-missing={isMissing ? "" : undefined}>
      <button
        ref={button} type="button" className="field-combo" aria-haspopup="listbox" aria-expanded={at !== null}
        title={isMissing ? missingText(value, nearest, say) : value}
        onClick={() => setAt(at === null ? (button.current as HTMLButtonElement).getBoundingClientRect() : null)}
        onKeyDown={(event) => {
          const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
          if (by === 0 || at !== null) return;
          event.preventDefault();
          const next = choices[choices.findIndex((item) => editorText(item) === value) + by];
          if (next !== undefined) desk.setWidget(id, view.name, next);
        }}
      >
        <span className="field-label">{view.label}</span>
        <span className="field-value">{shown === "" ? say("node.none") : shown}</span>
        {isMissing && <span className="sr-only">{say("node.missing")}</span>}
        <ChevronDown size={14} aria-hidden />
      </button>
      {takesPictures && (
        <>
          {value !== "" && !isMissing && (
            <>
              <button type="button" className="icon" aria-label={say("mask.title")} title={say("mask.title")}
                onClick={() => desk.paintMask(id, view.name, value)}>
                <Brush size={14} />
              </button>
              <button type="button" className="icon" aria-label={say("crop.title")} title={say("crop.title")}
                onClick={() => desk.cropPicture(id, view.name, value)}>
                <Crop size={14} />
              </button>
            </>
          )}
          <button type="button" className="icon" aria-label={say("node.upload")} title={say("node.upload")}
            onClick={() => picker.current?.click()}>
            <Upload size={14} />
          </button>
          <input ref={picker} type="file" accept="image/*" className="hidden" aria-label={say("node.file")} onChange={(event) => {
            const [file] = event.target.files ?? [];
            if (file !== undefined) desk.upload(id, view.name, file);
            event.target.value = "";
          }} />
        </>
      )}
      {at !== null && (
        <ChoiceList
          label={view.label} at={at} value={value} choices={choices.map(editorText)} nearest={nearest}
          desk={desk} files={files} favouritesKey={view.spec === null ? view.name : favouritesKey(view.spec)}
          onChoose={choose}
          onClose={() => {
            setAt(null);
            button.current?.focus({ preventScroll: true });
          }}
        />
      )}
    </div>
  );
}

function missingText(value: string, nearest: string | null, say: Say): string {
  const text = value === "" ? say("node.nothingChosen") : say("node.notThere", { value });
  return nearest === null ? text : `${text} ${say("node.nearestIs", { name: nearest })}`;
}
