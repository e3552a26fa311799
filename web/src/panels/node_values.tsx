/** The values of a node in the properties: found by words, those with a star first, or only what was changed. */

import { ListFilter, RotateCcw, Star } from "lucide-react";
import { useRef, useState } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { setWidget } from "../model/node_edits";
import { typeOf } from "../model/node_reading";
import type { NodeId, NodeRecord } from "../model/records";
import { chosenValues, freshValue, isChanged } from "../model/value_choice";
import { editorText } from "../model/widget_plan";
import type { WidgetView } from "../model/widgets";
import { preferences, withStar } from "../settings/preferences";
import { FIELD, IconButton } from "../ui/parts";
import { WidgetField } from "./widget_field";

/** Fewer are seen at a glance. */
const MIN_SEARCHED = 4;
const MAX_HINT = 60;
const MARK =
  "inline-flex size-6 shrink-0 items-center justify-center rounded-md text-quiet opacity-0 hover:bg-raised hover:text-text " +
  "group-hover:opacity-100 focus-visible:opacity-100 aria-pressed:text-accent aria-pressed:opacity-100 [@media(hover:none)]:opacity-100";

interface ValuesProps {
  readonly session: Session;
  readonly id: NodeId;
  readonly node: NodeRecord;
  readonly views: readonly WidgetView[];
  readonly onlyChanged: boolean;
  readonly onOnlyChanged: (onlyChanged: boolean) => void;
}

export function NodeValues({ session, id, node, views, onlyChanged, onOnlyChanged }: ValuesProps) {
  const say = useSay();
  const [query, setQuery] = useState("");
  const key = `node:${typeOf(node)}`;
  const starred = new Set(useStore(preferences, (state) => state.favourites[key]));
  // A star that is set moves nothing under the pointer.
  const first = useRef(starred);
  const listFiles = session.files.list;
  const shown = chosenValues(views, { query, onlyChanged, starred: first.current }, listFiles);
  if (views.length === 0) return null;
  return (
    <div className="flex flex-col gap-3">
      {(views.length >= MIN_SEARCHED || onlyChanged) && (
        <div className="flex items-center gap-1">
          <input
            type="search" className={FIELD} value={query} placeholder={say("values.find")} aria-label={say("values.find")}
            onChange={(event) => setQuery(event.target.value)}
          />
          <IconButton label={say("values.onlyChanged")} aria-pressed={onlyChanged} onClick={() => onOnlyChanged(!onlyChanged)}><ListFilter size={15} /></IconButton>
        </div>
      )}
      {shown.length === 0 && <p className="text-quiet">{say(query === "" ? "values.noneChanged" : "values.none")}</p>}
      {shown.map((view) => (
        <WidgetField key={view.name} session={session} node={id} view={view}>
          {isChanged(view, listFiles) && <ResetMark session={session} id={id} view={view} />}
          <button
            type="button" className={MARK} aria-pressed={starred.has(view.name)} aria-label={say("values.star", { name: view.label })} title={say("values.starHint")}
            onClick={() => preferences.setState(({ favourites }) => ({ favourites: withStar(favourites, key, view.name) }))}
          >
            <Star size={14} fill={starred.has(view.name) ? "currentColor" : "none"} />
          </button>
        </WidgetField>
      ))}
    </div>
  );
}

/** Puts back what a new node has. */
function ResetMark({ session, id, view }: { session: Session; id: NodeId; view: WidgetView }) {
  const say = useSay();
  const { open, catalog } = session.store.getState();
  const value = freshValue(view, session.files.list);
  if (value === undefined) return null;
  const text = editorText(value);
  return (
    <button
      type="button" className={MARK} aria-label={say("values.reset", { name: view.label })}
      title={say("values.resetTo", { value: text.length > MAX_HINT ? `${text.slice(0, MAX_HINT)}…` : text })}
      onClick={() => open.edit("Value", (edit) => setWidget(edit, open.graph.id, id, view.name, value, catalog, session.files.list))}
    >
      <RotateCcw size={14} />
    </button>
  );
}
