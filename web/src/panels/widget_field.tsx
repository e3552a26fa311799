/** One value of a node as a field of the properties panel. It keeps no value of its own: the document does. */

import { useId, useState, type KeyboardEvent, type ReactNode } from "react";
import type { Session } from "../app/session";
import { useSay, type TextKey } from "../i18n/catalogue";
import { choicesOf } from "../model/catalog";
import type { Json } from "../model/json";
import { setControl, setWidget } from "../model/node_edits";
import { bounded, numberFrom, rangeOf, shownNumber, stepped } from "../model/number_text";
import type { NodeId } from "../model/records";
import { CONTROLS } from "../model/seeds";
import type { WidgetView } from "../model/widgets";
import { FIELD } from "../ui/parts";

interface FieldProps {
  readonly session: Session;
  readonly node: NodeId;
  readonly view: WidgetView;
  /** Small buttons beside the name. */
  readonly children?: ReactNode;
}

export function WidgetField({ session, node, view, children }: FieldProps) {
  const say = useSay();
  const id = useId();
  const { open, catalog } = session.store.getState();
  const set = (value: Json) =>
    open.edit("Value", (edit) => setWidget(edit, open.graph.id, node, view.name, value, catalog, session.files.list), {
      merge: `widget:${node}:${view.name}`,
    });
  return (
    <div className="group flex flex-col gap-1">
      <div className="flex min-h-6 items-center">
        <label htmlFor={id} className="min-w-0 flex-1 truncate text-xs text-quiet" title={view.label}>{view.label}</label>
        {children}
      </div>
      {view.isLinked ? <p id={id} className="text-quiet italic">{say("properties.linked")}</p> : <Field id={id} session={session} view={view} set={set} />}
      {view.control !== null && !view.isLinked && (
        <select
          className={FIELD} value={view.control} aria-label={`${view.label}: ${say("properties.control")}`}
          onChange={(event) => open.edit("Control", (edit) =>
            setControl(edit, open.graph.id, node, view.name, event.target.value, catalog, session.files.list))}
        >
          {CONTROLS.map((name) => <option key={name} value={name}>{say(`control.${name}` as TextKey)}</option>)}
        </select>
      )}
    </div>
  );
}

/** The field alone, for those who have a label and a way of their own to set the value. */
export function Field({ id, session, view, set }: { id: string; session: Session; view: WidgetView; set: (value: Json) => void }) {
  const say = useSay();
  const { spec, value } = view;
  const choices = spec === null ? null : choicesOf(spec, session.files.list);
  if (choices !== null) {
    const at = choices.findIndex((item) => item === value);
    return (
      <select id={id} className={`${FIELD} ${at < 0 ? "border-danger text-danger" : ""}`} value={at} onChange={(event) => set(choices[Number(event.target.value)] as Json)}>
        {at < 0 && <option value={-1}>{say("properties.missing", { value: String(value) })}</option>}
        {choices.map((item, i) => <option key={i} value={i}>{String(item)}</option>)}
      </select>
    );
  }
  if (typeof value === "boolean") {
    return <input id={id} type="checkbox" className="size-4 self-start accent-accent" checked={value} onChange={(event) => set(event.target.checked)} />;
  }
  if (spec?.type === "INT" || spec?.type === "FLOAT") {
    return <NumberBox id={id} view={view} isWhole={spec.type === "INT"} set={set} />;
  }
  if (typeof value === "object" && value !== null) return <code id={id} className="text-xs break-all text-quiet">…</code>;
  const text = String(value ?? "");
  const isLine = spec !== null && !spec.options.multiline && !text.includes("\n");
  if (isLine) return <input id={id} type="text" spellCheck={false} autoComplete="off" className={FIELD} value={text} onChange={(event) => set(event.target.value)} />;
  return <textarea id={id} rows={4} spellCheck={false} className={`${FIELD} resize-y`} value={text} onChange={(event) => set(event.target.value)} />;
}

interface NumberBoxProps {
  readonly id: string;
  readonly view: WidgetView;
  readonly isWhole: boolean;
  readonly set: (value: Json) => void;
}

/**
 * A plain number counts while it is typed; maths counts, and limits do, when the field is left or Enter is pressed. Arrows
 * step it and its unit stands beside it, as on the node.
 */
function NumberBox({ id, view, isWhole, set }: NumberBoxProps) {
  const { spec, value } = view;
  const [typed, setTyped] = useState<string | null>(null);
  const range = rangeOf(spec, value);
  const finish = () => {
    const untouched = typeof value === "number" ? bounded(value, range) : null;
    const next = typed === null ? untouched : numberFrom(typed, range);
    if (next !== null && next !== value) set(next);
    setTyped(null);
  };
  const key = (event: KeyboardEvent) => {
    const by = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    if (event.key === "Enter") finish();
    if (by === 0) return;
    event.preventDefault();
    setTyped(null);
    set(stepped(value, by * (event.shiftKey ? 10 : event.altKey && !isWhole ? 0.1 : 1), range));
  };
  return (
    <div className="flex items-center gap-1.5">
      <input
        id={id} className={`${FIELD} tabular-nums`} inputMode="decimal" value={typed ?? shownNumber(value)}
        onChange={(event) => {
          setTyped(event.target.value);
          const next = plainNumber(event.target.value, isWhole);
          if (next !== null) set(next);
        }}
        onKeyDown={key} onBlur={finish}
      />
      {range.unit !== "" && <span className="shrink-0 text-xs text-quiet">{range.unit}</span>}
    </div>
  );
}

/** null for what is no number yet. Whole numbers that a float cannot hold stay exact. */
function plainNumber(text: string, isWhole: boolean): Json | null {
  const trimmed = text.trim();
  if (!/^-?\d*\.?\d+$|^-?\d+\.$/.test(trimmed)) return null;
  if (!isWhole) return Number(trimmed);
  const whole = BigInt(trimmed.split(".")[0] || "0");
  return whole >= BigInt(Number.MIN_SAFE_INTEGER) && whole <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(whole) : whole;
}
