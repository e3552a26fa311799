/** What the form of the workflow shows: title, values with names, order and limits, outputs, and the link to it. */

import { ArrowDown, ArrowUp, Trash2 } from "lucide-react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import {
  fieldPaths, hiddenFields, nameOfField, offered, outputPaths, putForm, readForm, shownFields, suggestedForm, swapped,
  type FormField, type WorkflowForm,
} from "../model/form";
import { placeOf } from "../model/node_paths";
import { titleOf } from "../model/node_reading";
import type { WidgetContext } from "../model/widgets";
import { useDocument } from "../ui/hooks";
import { FIELD, IconButton, MAIN_BUTTON, PLAIN_BUTTON, Section } from "../ui/parts";

export default function FormPanel({ session, onClose }: { session: Session; onClose: () => void }) {
  const say = useSay();
  const open = useDocument(useStore(session.store, (state) => state.open));
  const { saved } = useStore(session.store);
  const context = session.contextOf(open.document);
  const form = readForm(open.document) ?? suggestedForm(context);
  const put = (next: Partial<WorkflowForm>, merge?: string) =>
    open.edit("Form", (edit) => putForm(edit, { ...form, ...next }), merge === undefined ? {} : { merge });
  const results = outputPaths(context);
  const link = saved === null ? null : `${location.origin}${location.pathname}?${new URLSearchParams({ workflow: saved.name, view: "form" }).toString()}`;
  return (
    <>
      <div className="flex flex-col gap-2 p-3">
        <p className="text-xs text-quiet">{say("form.about")}</p>
        <label className="flex flex-col gap-1">
          <span className="text-xs text-quiet">{say("form.name")}</span>
          <input
            className={FIELD} value={form.title} disabled={context.catalog.specs.size === 0}
            onChange={(event) => put({ title: event.target.value }, "form:title")}
          />
        </label>
        <button type="button" className={MAIN_BUTTON} onClick={() => { onClose(); session.showForm(true); }}>{say("form.open")}</button>
      </div>
      <Fields session={session} form={form} put={put} />
      <Section title={say("form.outputs")}>
        {results.map((id) => (
          <label key={id} className="flex items-center gap-2">
            <input
              type="checkbox" className="size-4 accent-accent" checked={form.outputs.includes(id)}
              onChange={(event) => put({ outputs: event.target.checked ? [...form.outputs, id] : form.outputs.filter((other) => other !== id) })}
            />
            <span className="truncate">{titleAt(context, id)} #{id}</span>
          </label>
        ))}
      </Section>
      <Section title={say("form.link")}>
        {link === null ? <p className="text-quiet">{say("form.saveFirst")}</p> : (
          <div className="flex gap-1">
            <input className={FIELD} readOnly value={link} aria-label={say("form.link")} onFocus={(event) => event.target.select()} />
            <button type="button" className={PLAIN_BUTTON} onClick={() => void navigator.clipboard?.writeText(link).then(() => session.say(say("form.copied")))}>{say("form.copy")}</button>
          </div>
        )}
      </Section>
    </>
  );
}

interface FieldsProps {
  readonly session: Session;
  readonly form: WorkflowForm;
  readonly put: (next: Partial<WorkflowForm>, merge?: string) => void;
}

function Fields({ session, form, put }: FieldsProps) {
  const say = useSay();
  const { open, catalog } = session.store.getState();
  const context = session.contextOf(open.document);
  const shown = shownFields(context, form);
  const hidden = catalog.specs.size === 0 ? [] : hiddenFields(context, form);
  const change = (field: FormField, next: Partial<FormField>, merge?: string) =>
    put({ fields: form.fields.map((item) => (item === field ? { ...item, ...next } : item)) }, merge);
  const move = (at: number, by: number) => {
    const [field, other] = [shown[at]?.field, shown[at + by]?.field];
    if (field !== undefined && other !== undefined) put({ fields: swapped(form.fields, field, other) });
  };
  const remove = (field: FormField) => put({ fields: form.fields.filter((item) => item !== field) });
  const free = fieldPaths(open.document).flatMap((node) => offered(context, node).filter((view) =>
    !form.fields.some((field) => field.node === node && field.widget === view.name)).map((view) => ({
      node, widget: view.name, text: `${titleAt(context, node)} · ${view.label}`,
    })));
  return (
    <Section title={say("form.fields")}>
      <ol className="flex flex-col gap-2">
        {shown.map(({ field, label, record, view }, at) => {
          const key = `${field.node}:${field.widget}`;
          const isNumber = view.spec?.type === "INT" || view.spec?.type === "FLOAT";
          return (
            <li key={key} className="flex flex-col gap-1 rounded-md border border-line p-1.5">
              <div className="flex items-center gap-0.5">
                <input
                  className={FIELD} value={field.label ?? ""} placeholder={label} aria-label={say("form.label", { name: label })}
                  onChange={(event) => change(field, { label: event.target.value === "" ? null : event.target.value }, `form:${key}`)}
                />
                <IconButton label={say("subgraph.up", { name: label })} disabled={at === 0} onClick={() => move(at, -1)}><ArrowUp size={15} /></IconButton>
                <IconButton label={say("subgraph.down", { name: label })} disabled={at === shown.length - 1} onClick={() => move(at, 1)}><ArrowDown size={15} /></IconButton>
                <IconButton label={say("subgraph.remove", { name: label })} onClick={() => remove(field)}><Trash2 size={15} /></IconButton>
              </div>
              <div className="flex items-center gap-1 text-xs text-quiet">
                <span className="min-w-0 flex-1 truncate">{titleOf(record, catalog, open.document)} · {view.label}</span>
                {isNumber && (["min", "max"] as const).map((end) => (
                  <input
                    key={end} type="number" className="w-16 rounded border border-line bg-canvas px-1 py-0.5" value={field[end] ?? ""}
                    placeholder={say(end === "min" ? "form.min" : "form.max")} aria-label={`${label}: ${say(end === "min" ? "form.min" : "form.max")}`}
                    onChange={(event) => change(field, { [end]: event.target.value === "" ? null : Number(event.target.value) }, `form:${key}:${end}`)}
                  />
                ))}
              </div>
            </li>
          );
        })}
      </ol>
      {hidden.map((field) => (
        <div key={`${field.node}:${field.widget}`} className="flex items-center gap-1 text-xs text-quiet">
          <p className="min-w-0 flex-1 break-words">{say("form.gone", { name: nameOfField(field) })}</p>
          <IconButton label={say("subgraph.remove", { name: nameOfField(field) })} onClick={() => remove(field)}><Trash2 size={15} /></IconButton>
        </div>
      ))}
      {free.length > 0 && (
        <select
          className={FIELD} value="" aria-label={say("form.add")}
          onChange={(event) => {
            const item = free[Number(event.target.value)];
            if (item !== undefined) put({ fields: [...form.fields, { node: item.node, widget: item.widget, label: null, min: null, max: null }] });
          }}
        >
          <option value="">{say("form.add")}</option>
          {free.map((item, at) => <option key={at} value={at}>{item.text}</option>)}
        </select>
      )}
    </Section>
  );
}

function titleAt(context: WidgetContext, path: string): string {
  const place = placeOf(context.document, path);
  return place === null ? path : titleOf(place.record, context.catalog, context.document);
}
