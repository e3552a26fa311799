/** The workflow as a simple page: its chosen values, a button that runs it, and the pictures that come out. */

import { Play, Square, Workflow } from "lucide-react";
import { useCallback, useId, useSyncExternalStore } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { hiddenFields, nameOfField, readForm, shownFields, stepOf, suggestedForm, type ShownField } from "../model/form";
import type { Json } from "../model/json";
import { setControl, setWidget } from "../model/node_edits";
import { rootOf } from "../model/records";
import { urlOf } from "../server/client";
import { cancelJob, upload } from "../server/workflows";
import { useDocument } from "../ui/hooks";
import { Empty, IconButton, MAIN_BUTTON } from "../ui/parts";
import { Banners } from "./banner";
import { describeRun } from "./run_card";
import { Field } from "./widget_field";

/** A slider is offered where it has places people can hit. */
const MAX_SLIDER_STEPS = 500;

export default function FormView({ session }: { session: Session }) {
  const say = useSay();
  const open = useDocument(useStore(session.store, (state) => state.open));
  const { run, saved, catalog, problems, tabs, active } = useStore(session.store);
  const context = session.contextOf(open.document);
  const form = readForm(open.document) ?? suggestedForm(context);
  const fields = shownFields(context, form);
  const hidden = catalog.specs.size === 0 ? [] : hiddenFields(context, form);
  const own = run !== null && run.document === open ? run : null;
  const isBusy = own !== null && own.state !== "ended";
  const title = form.title || (saved?.name.split("/").at(-1) ?? tabs.find((tab) => tab.id === active)?.title) || say("bar.untitled");
  const faults = problems.filter((item) => item.document === open);
  const isEmpty = rootOf(open.document).nodes.ids.length === 0;
  return (
    <div className="flex h-full flex-col bg-canvas">
      <header className="flex h-11 shrink-0 items-center gap-2 border-b border-line bg-surface pr-1.5 pl-4">
        <h1 className="min-w-0 flex-1 truncate text-sm font-semibold">{title}</h1>
        <IconButton label={say("form.graph")} onClick={() => session.showForm(false)}><Workflow size={16} /></IconButton>
      </header>
      <Banners session={session} />
      <main className="min-h-0 flex-1 overflow-auto">
        <div className="mx-auto flex max-w-5xl flex-col gap-6 p-4 md:flex-row">
          <form
            className="flex min-w-0 flex-1 flex-col gap-4" aria-label={title}
            onSubmit={(event) => { event.preventDefault(); void session.run(); }}
          >
            {isEmpty && <Empty>{say(catalog.specs.size === 0 ? "app.loading" : "outline.empty")}</Empty>}
            <div className="grid grid-cols-2 gap-4 empty:hidden">{fields.map((shown) => <FormFieldView key={`${shown.field.node}:${shown.field.widget}`} session={session} shown={shown} />)}</div>
            {hidden.map((field) => <p key={`${field.node}:${field.widget}`} className="text-quiet">{say("form.gone", { name: nameOfField(field) })}</p>)}
            {faults.map((item, i) => (
              <p key={i} role="alert" className="rounded-md border border-danger/50 bg-surface p-2 break-words">
                <span className="text-danger">{item.title}</span> {item.message} <span className="text-quiet">{item.remedy}</span>
              </p>
            ))}
            <div className="sticky bottom-0 flex flex-col gap-2 border-t border-line bg-canvas py-3">
              <div className="flex items-center gap-3">
                <button type="submit" className={`${MAIN_BUTTON} min-h-11 flex-1 text-base`} disabled={catalog.specs.size === 0 || isEmpty}>
                  <Play size={16} fill="currentColor" />{say("bar.run")}
                </button>
                {isBusy && (
                  <IconButton
                    label={say("bar.cancel")} className="text-danger max-md:size-11"
                    onClick={() => void cancelJob(session.client, own.job).catch((error: unknown) => session.tell(error))}
                  >
                    <Square size={16} />
                  </IconButton>
                )}
              </div>
              <p aria-live="polite" className="min-h-5 truncate text-quiet">{own === null ? "" : describeRun(session, own, say)}</p>
              <div
                role="progressbar" aria-label={say("run.progress")} aria-valuemin={0} aria-valuemax={100}
                aria-valuenow={Math.round((own?.progress ?? 0) * 100)} className={`h-1 rounded bg-line ${isBusy ? "" : "invisible"}`}
              >
                <div className="h-full rounded bg-accent" style={{ width: `${(own?.progress ?? 0) * 100}%` }} />
              </div>
            </div>
          </form>
          <Results session={session} outputs={form.outputs} />
        </div>
      </main>
    </div>
  );
}

function Results({ session, outputs }: { session: Session; outputs: readonly string[] }) {
  const say = useSay();
  const { open } = useStore(session.store);
  const follow = useCallback((listener: () => void) => session.board.subscribe(listener), [session]);
  const facts = useSyncExternalStore(follow, () => session.board.of(open));
  const pictures = outputs.flatMap((id) => facts.nodes.get(id)?.pictures ?? []);
  const texts = outputs.flatMap((id) => facts.nodes.get(id)?.texts ?? []);
  return (
    <section aria-label={say("form.results")} aria-live="polite" className="flex min-w-0 flex-1 flex-col gap-3">
      {pictures.length + texts.length === 0 && (
        <div className="flex aspect-square items-center justify-center rounded-xl border border-dashed border-line text-quiet">{say("form.noResult")}</div>
      )}
      {pictures.map((asset, at) => (
        <button key={asset} type="button" aria-label={say("run.show")} onClick={() => session.openPictures?.(pictures, at)}>
          <img
            className="w-full rounded-xl bg-surface object-contain" src={urlOf("/assets/{asset}", { asset }, {})} alt={say("run.picture")}
            // On a phone they lie below the fields: who has run it looks for them.
            onLoad={(event) => at === pictures.length - 1 && event.currentTarget.scrollIntoView({ block: "nearest" })}
          />
        </button>
      ))}
      {texts.map((text, at) => <p key={at} className="rounded-md border border-line bg-surface p-2 break-words whitespace-pre-wrap">{text}</p>)}
    </section>
  );
}

function FormFieldView({ session, shown }: { session: Session; shown: ShownField }) {
  const say = useSay();
  const id = useId();
  const { open, catalog } = session.store.getState();
  const { field, label, view, graph } = shown;
  const files = session.files.list;
  const set = (value: Json) => open.edit("Value", (edit) => setWidget(edit, graph, shown.id, field.widget, value, catalog, files), {
    merge: `widget:${field.node}:${field.widget}`,
  });
  const send = async (file: File) => {
    const sent = await upload(session.client, file);
    await session.loadFiles(open.document);
    set(sent.subfolder === "" ? sent.name : `${sent.subfolder}/${sent.name}`);
  };
  const range = rangeOf(shown);
  const isShort = range === null && (view.spec?.type === "INT" || view.spec?.type === "FLOAT");
  return (
    <div className={`flex min-w-0 flex-col gap-1.5 text-base [&_input]:min-h-9 [&_select]:min-h-9 ${isShort ? "" : "col-span-2"}`}>
      <label htmlFor={id} className="font-medium">{label}</label>
      <div className={`flex items-center gap-3 [&>input+input]:w-28 ${isShort ? "*:min-w-0 *:flex-1" : ""}`}>
        {range !== null && (
          <input
            type="range" className="min-w-0 flex-1 accent-accent" aria-label={label} {...range}
            value={Number(view.value)} onChange={(event) => set(Number(event.target.value))}
          />
        )}
        <Field id={id} session={session} view={view} set={set} />
      </div>
      {view.spec?.options.image_upload === true && (
        <input
          type="file" accept="image/*" aria-label={say("form.upload", { name: label })} className="text-sm text-quiet"
          onChange={(event) => {
            const file = event.target.files?.[0];
            if (file !== undefined) void send(file).catch((error: unknown) => session.tell(error));
          }}
        />
      )}
      {view.control !== null && (
        <label className="flex items-center gap-2 text-sm text-quiet">
          <input
            type="checkbox" className="size-4 accent-accent" checked={view.control === "randomize"}
            onChange={(event) => open.edit("Control", (edit) =>
              setControl(edit, graph, shown.id, field.widget, event.target.checked ? "randomize" : "fixed", catalog, files))}
          />
          {say("form.newEachTime")}
        </label>
      )}
    </div>
  );
}

/** The ends of a slider; null where a number has no near ends. */
function rangeOf(shown: ShownField): { readonly min: number; readonly max: number; readonly step: number } | null {
  const { spec, value } = shown.view;
  const { min, max } = spec?.options ?? {};
  if ((spec?.type !== "INT" && spec?.type !== "FLOAT") || typeof min !== "number" || typeof max !== "number" || typeof value === "bigint") return null;
  const step = stepOf(shown);
  return max > min && (max - min) / step <= MAX_SLIDER_STEPS ? { min, max, step } : null;
}
