/** Choose one or two values and lists for them, queue them all, and watch the grid fill. */

import { useId, useState } from "react";
import { useStore } from "zustand";
import { cancelGrid, isRunning, runGrid } from "../app/grid_run";
import type { Session } from "../app/session";
import { useSay, type TextKey } from "../i18n/catalogue";
import { choicesOf } from "../model/catalog";
import { fieldPaths, offered } from "../model/form";
import { MAX_CELLS, readValues, type GridAxis, type GridJob, type GridRun } from "../model/grid";
import { titlesOn } from "../model/node_paths";
import type { WidgetView } from "../model/widgets";
import { giveFile } from "../panels/exporting";
import { FIELD, MAIN_BUTTON, PLAIN_BUTTON, Window } from "../ui/parts";
import { gridPicture } from "./grid_picture";

interface Offer {
  /** A path, as of a form's field. */
  readonly node: string;
  readonly view: WidgetView;
  readonly label: string;
}
interface Draft {
  readonly at: number;
  readonly text: string;
}

const NO_AXIS: Draft = { at: -1, text: "" };
const SHOWN_TEXT = 60;

export default function GridWindow({ session, onClose }: { session: Session; onClose: () => void }) {
  const say = useSay();
  const { open, catalog } = session.store.getState();
  const run = useStore(session.grid);
  const [x, setX] = useState<Draft>(NO_AXIS);
  const [y, setY] = useState<Draft>(NO_AXIS);
  const context = session.contextOf(open.document);
  const offers = fieldPaths(open.document).flatMap((node) => offered(context, node).map((view): Offer => ({
    node, view, label: `${titlesOn(open.document, catalog, node).join(" › ")} · ${view.label}`,
  })));
  const axisOf = ({ at, text }: Draft): { axis: GridAxis | null; wrong: readonly string[] } => {
    const offer = offers[at];
    if (offer === undefined || offer.view.spec === null) return { axis: null, wrong: [] };
    const { values, wrong } = readValues(text, offer.view.spec, session.files.list);
    return { axis: { node: offer.node, widget: offer.view.name, label: offer.label, values }, wrong };
  };
  const [across, down] = [axisOf(x), axisOf(y)];
  const count = (across.axis?.values.length ?? 0) * (down.axis?.values.length ?? 1);
  const canRun = across.axis !== null && across.wrong.length + down.wrong.length === 0 && count > 0 && count <= MAX_CELLS;
  const tell = (error: unknown) => session.tell(error);
  return (
    <Window title={say("grid.title")} onClose={onClose} className="h-[90dvh] w-[70rem]">
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (across.axis !== null) void runGrid(session, across.axis, down.axis).catch(tell);
        }}
      >
        <div className="grid gap-3 md:grid-cols-2">
          <AxisField session={session} name="grid.across" offers={offers} draft={x} wrong={across.wrong} onChange={setX} />
          <AxisField session={session} name="grid.down" offers={offers} draft={y} wrong={down.wrong} onChange={setY} />
        </div>
        <p className="text-xs text-quiet">{say("grid.hint")}</p>
        <div className="flex items-center gap-2">
          <button type="submit" className={MAIN_BUTTON} disabled={!canRun || isRunning(run)}>{say("grid.run", { count })}</button>
          {count > MAX_CELLS && <p className="text-danger">{say("grid.tooMany", { max: MAX_CELLS })}</p>}
          {isRunning(run) && <button type="button" className={PLAIN_BUTTON} onClick={() => void cancelGrid(session).catch(tell)}>{say("app.cancel")}</button>}
          <span className="flex-1" />
          {run !== null && run.jobs.some((job) => job.picture !== null) && (
            <button type="button" className={PLAIN_BUTTON} onClick={() => void gridPicture(run, shortText).then((blob) => giveFile("grid.png", blob)).catch(tell)}>{say("grid.save")}</button>
          )}
        </div>
      </form>
      {run !== null && <GridTable run={run} />}
    </Window>
  );
}

interface AxisProps {
  readonly session: Session;
  readonly name: TextKey;
  readonly offers: readonly Offer[];
  readonly draft: Draft;
  readonly wrong: readonly string[];
  readonly onChange: (draft: Draft) => void;
}

function AxisField({ session, name, offers, draft, wrong, onChange }: AxisProps) {
  const say = useSay();
  const id = useId();
  const spec = offers[draft.at]?.view.spec ?? null;
  const choices = spec === null ? null : choicesOf(spec, session.files.list);
  return (
    <fieldset className="flex flex-col gap-1.5 rounded-lg border border-line p-2">
      <legend className="px-1 text-xs font-semibold text-quiet">{say(name)}</legend>
      <select className={FIELD} aria-label={say(name)} value={draft.at} onChange={(event) => onChange({ at: Number(event.target.value), text: "" })}>
        <option value={-1}>{say("grid.nothing")}</option>
        {offers.map((offer, at) => <option key={at} value={at}>{offer.label}</option>)}
      </select>
      {spec !== null && (
        <>
          <label htmlFor={id} className="text-xs text-quiet">{say("grid.values")}</label>
          <textarea
            id={id} rows={choices !== null || spec.type === "STRING" ? 4 : 2} spellCheck={false} className={`${FIELD} ${wrong.length > 0 ? "border-danger" : ""}`}
            value={draft.text} onChange={(event) => onChange({ ...draft, text: event.target.value })}
          />
          {wrong.length > 0 && <p className="text-xs break-all text-danger">{say("grid.wrong", { text: wrong.join(", ") })}</p>}
          {choices !== null && (
            <button type="button" className={PLAIN_BUTTON} onClick={() => onChange({ ...draft, text: choices.map(String).join("\n") })}>{say("grid.all", { count: choices.length })}</button>
          )}
        </>
      )}
    </fieldset>
  );
}

function GridTable({ run }: { run: GridRun }) {
  const say = useSay();
  const cell = (column: number, row: number) => run.jobs.find((job) => job.column === column && job.row === row);
  return (
    <div className="mt-4 overflow-auto" tabIndex={0} role="region" aria-label={say("grid.table")}>
      <table className="border-separate border-spacing-1">
        <caption className="pb-1 text-left text-quiet">{run.y === null ? run.x.label : `${run.x.label} × ${run.y.label}`}</caption>
        <thead>
          <tr>
            {run.y !== null && <td />}
            {run.x.values.map((value, i) => <th key={i} scope="col" className="max-w-40 truncate px-1 text-xs font-semibold">{shortText(value)}</th>)}
          </tr>
        </thead>
        <tbody>
          {(run.y?.values ?? [null]).map((value, row) => (
            <tr key={row}>
              {run.y !== null && <th scope="row" className="max-w-40 truncate px-1 text-right text-xs font-semibold">{shortText(value)}</th>}
              {run.x.values.map((_value, column) => <td key={column} className="p-0 align-top"><Cell job={cell(column, row)} /></td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({ job }: { job: GridJob | undefined }) {
  const say = useSay();
  if (job?.picture) {
    return (
      <a href={job.picture} target="_blank" rel="noopener noreferrer">
        <img src={job.picture} alt={say("run.picture")} className="size-36 rounded object-contain" />
      </a>
    );
  }
  return (
    <div className={`flex size-36 items-center justify-center rounded bg-canvas p-2 text-center text-xs break-words ${job?.message ? "text-danger" : "text-quiet"}`}>
      {job === undefined ? "" : job.message || say(`state.${job.state}` as TextKey)}
    </div>
  );
}

function shortText(value: unknown): string {
  const text = String(value);
  return text.length > SHOWN_TEXT ? `${text.slice(0, SHOWN_TEXT)}…` : text;
}
