/** By the button that runs: what is cached, what will run and why, and how long that took before. */

import { useEffect, useState, type ReactNode, type SyntheticEvent } from "react";
import { useStore } from "zustand";
import type { ForeseenRun } from "../app/foreseen";
import { foresee } from "../app/foresight";
import type { Session } from "../app/session";
import { useSay, type Say } from "../i18n/catalogue";
import { durationText } from "../ui/duration";
import { titleOf } from "../model/node_reading";
import { rootOf } from "../model/records";

const REST_MS = 150;
const MAX_SHOWN = 6;

/** Around what runs the workflow: asks when the pointer rests on it or the keyboard is there, and shows the answer. */
export function WithForecast({ session, children }: { session: Session; children: ReactNode }) {
  const [isWanted, setWanted] = useState(false);
  useEffect(() => {
    if (!isWanted) return undefined;
    let isOver = false;
    const timer = setTimeout(() => void foresee(session).then((found) => {
      if (!isOver) session.store.setState({ forecast: found });
    }), REST_MS);
    return () => {
      isOver = true;
      clearTimeout(timer);
      session.store.setState({ forecast: null });
    };
  }, [session, isWanted]);
  return (
    <div
      className="relative" onPointerOver={(event) => event.pointerType === "mouse" && setWanted(isOwn(event))}
      onPointerLeave={() => setWanted(false)} onClick={() => setWanted(false)}
      onFocus={(event) => isOwn(event) && event.target.matches(":focus-visible") && setWanted(true)} onBlur={() => setWanted(false)}
    >
      {children}
      <Forecast session={session} />
    </div>
  );
}

/** Events of the menu come here too: it is a part of this one for React, but lies elsewhere in the page. */
function isOwn(event: SyntheticEvent): boolean {
  return event.currentTarget.contains(event.target as Node);
}

function Forecast({ session }: { session: Session }) {
  const say = useSay();
  const forecast = useStore(session.store, (state) => state.forecast);
  if (forecast === null || forecast.document !== session.store.getState().open) return null;
  const { runs, cached, seconds, canRun } = forecast;
  const { document } = forecast.document;
  const { catalog } = session.store.getState();
  const names = [...runs].flatMap(([path, run]) => {
    const node = rootOf(document).nodes.byId.get(path.split(":", 1)[0] ?? "");
    const why = reasonOf(run, say);
    return node === undefined || why === "" ? [] : [{ path, title: titleOf(node, catalog, document), why }];
  });
  return (
    <div
      role="status" aria-label={say("forecast.label")}
      className="pointer-events-none absolute top-full right-0 z-40 mt-2 w-64 rounded-lg border border-line bg-surface p-3 text-text shadow-xl"
    >
      <p className="font-medium">{canRun ? sentenceOf(runs.size, seconds, say) : say("forecast.cannot")}</p>
      {canRun && <p className="text-xs text-quiet">{say("forecast.counts", { runs: runs.size, cached: cached.size })}</p>}
      {names.length > 0 && (
        <ul className="mt-2 flex flex-col gap-0.5 text-xs">
          {names.slice(0, MAX_SHOWN).map(({ path, title, why }) => (
            <li key={path} className="flex gap-2"><span className="min-w-0 flex-1 truncate">{title}</span><span className="text-quiet">{why}</span></li>
          ))}
        </ul>
      )}
    </div>
  );
}

function sentenceOf(numRuns: number, seconds: number | null, say: Say): string {
  if (numRuns === 0) return say("forecast.nothing");
  return seconds === null ? say("forecast.unknown") : say("forecast.time", { time: durationText(seconds, say) });
}

function reasonOf({ why }: ForeseenRun, say: Say): string {
  if (why.inputs.length > 0) return why.inputs.slice(0, 2).join(", ");
  switch (why.code) {
    case "first_run": return say("forecast.first");
    case "outside_changed": return say("forecast.file");
    case "always_runs": return say("forecast.always");
    case "not_kept": return say("forecast.notKept");
    default: return "";
  }
}
