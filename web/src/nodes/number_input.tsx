/** The text of a number: maths is worked out when the keyboard leaves, Escape puts back what was there. */

import { useEffect, useRef, type KeyboardEvent, type PointerEventHandler } from "react";
import { numberFrom, shownNumber, type NumberRange } from "../model/number_text";
import type { WidgetView } from "../model/widgets";

interface NumberInputProps {
  readonly view: WidgetView;
  readonly range: NumberRange;
  readonly onSet: (value: number | bigint) => void;
  readonly onKey?: (event: KeyboardEvent<HTMLInputElement>) => void;
  readonly onPointerDown?: PointerEventHandler<HTMLInputElement>;
  readonly onPointerMove?: PointerEventHandler<HTMLInputElement>;
  readonly onPointerUp?: PointerEventHandler<HTMLInputElement>;
  readonly onPointerCancel?: PointerEventHandler<HTMLInputElement>;
}

export function NumberInput({ view, range, onSet, onKey, ...pointer }: NumberInputProps) {
  const field = useRef<HTMLInputElement>(null);
  const shown = shownNumber(view.value);
  useEffect(() => {
    if (field.current !== null) field.current.value = shown;
  }, [shown]);
  const commit = () => {
    const input = field.current as HTMLInputElement;
    const value = numberFrom(input.value, range);
    if (value !== null && value !== view.value) onSet(value);
    input.value = shownNumber(value ?? view.value);
  };
  const key = (event: KeyboardEvent<HTMLInputElement>) => {
    if (event.key === "Enter") event.currentTarget.blur();
    else if (event.key === "Escape") {
      event.currentTarget.value = shown;
      event.currentTarget.blur();
    } else onKey?.(event);
  };
  const bound = (value: number | bigint) => (Math.abs(Number(value)) === Infinity ? undefined : Number(value));
  return (
    <>
      <input
        ref={field} className="field-number" type="text" inputMode="decimal" role="spinbutton" aria-label={view.label}
        aria-valuenow={Number(view.value)} aria-valuemin={bound(range.min)} aria-valuemax={bound(range.max)}
        aria-valuetext={range.unit === "" ? undefined : `${shown} ${range.unit}`}
        defaultValue={shown} autoComplete="off" spellCheck={false} onKeyDown={key} onBlur={commit} {...pointer}
      />
      {range.unit !== "" && <span className="field-unit" aria-hidden>{range.unit}</span>}
    </>
  );
}
