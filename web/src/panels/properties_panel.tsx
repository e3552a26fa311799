/** The right panel: the selected node with all its values, and what is wrong with the document. */

import { X } from "lucide-react";
import { useMemo, useState } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { showPath } from "../app/showing";
import { missingIn } from "../files/missing";
import { useSay } from "../i18n/catalogue";
import { NODE_COLORS } from "../model/node_actions";
import { setColor, setTitle, toggleMode } from "../model/node_edits";
import { onPage } from "../canvas/theme";
import { colorOf, isInstance, isKnownNode, modeOf, titleOf, typeOf } from "../model/node_reading";
import { MODE, type NodeId, type NodeRecord } from "../model/records";
import { widgetsOf } from "../model/widgets";
import { useDocument } from "../ui/hooks";
import { Empty, FIELD, IconButton, Section } from "../ui/parts";
import { LinkFields } from "./link_fields";
import { MissingModels } from "./missing_models";
import { NodeValues } from "./node_values";

export default function PropertiesPanel({ session, onClose }: { session: Session; onClose: () => void }) {
  const say = useSay();
  const open = useDocument(useStore(session.store, (state) => state.open));
  // It stays while one goes from node to node.
  const [onlyChanged, setOnlyChanged] = useState(false);
  const ids = [...open.selection.nodes];
  const node = ids.length === 1 ? open.graph.nodes.byId.get(ids[0] as NodeId) : undefined;
  return (
    <aside
      aria-label={say("bar.properties")} onKeyDown={(event) => event.key === "Escape" && onClose()}
      className="z-20 flex min-h-0 flex-col overflow-hidden border-line bg-surface max-md:absolute max-md:inset-0 md:w-76 md:shrink-0 md:border-l"
    >
      <div className="flex items-center border-b border-line pr-1 pl-3">
        <h2 className="flex-1 py-2 text-sm font-semibold">{say("bar.properties")}</h2>
        <IconButton label={say("app.close")} onClick={onClose}><X size={15} /></IconButton>
      </div>
      <div className="min-h-0 flex-1 overflow-auto">
        {node !== undefined
          ? (
            <NodeProperties
              key={`${open.graph.id}/${ids[0]}`} session={session} id={ids[0] as NodeId} node={node} onlyChanged={onlyChanged} onOnlyChanged={setOnlyChanged}
            />
          )
          : <Empty>{ids.length > 1 ? say("properties.many", { count: ids.length }) : say("properties.none")}</Empty>}
        <Problems session={session} />
      </div>
    </aside>
  );
}

interface NodeProps {
  readonly session: Session;
  readonly id: NodeId;
  readonly node: NodeRecord;
  readonly onlyChanged: boolean;
  readonly onOnlyChanged: (onlyChanged: boolean) => void;
}

function NodeProperties({ session, id, node, onlyChanged, onOnlyChanged }: NodeProps) {
  const say = useSay();
  const { open, catalog } = session.store.getState();
  const graph = open.graph.id;
  const spec = catalog.get(typeOf(node));
  const views = widgetsOf(session.contextOf(open.document), open.graph, node);
  const mode = modeOf(node);
  const setMode = (next: number) => open.edit("Mode", (edit) => toggleMode(edit, graph, [id], next === MODE.always ? mode : next));
  return (
    <div className="flex flex-col gap-3 p-3">
      <div className="flex flex-col gap-1">
        <label className="text-xs text-quiet" htmlFor="node-title">{say("properties.title")}</label>
        <input
          id="node-title" className={FIELD} value={typeof node.title === "string" ? node.title : ""}
          placeholder={titleOf(node, catalog, open.document)}
          onChange={(event) => open.edit("Title", (edit) => setTitle(edit, graph, id, event.target.value), { merge: `title:${id}` })}
        />
        <p className="text-xs text-quiet">
          {isKnownNode(node, catalog, open.document) ? (isInstance(node, open.document) ? say("subgraph.new") : typeOf(node)) : <span className="text-danger">{say("properties.unknown", { type: typeOf(node) })}</span>}
        </p>
        {spec?.description && <p className="text-xs whitespace-pre-line text-quiet">{spec.description}</p>}
      </div>
      <div role="group" aria-label={say("properties.mode")} className="flex overflow-hidden rounded-md border border-line">
        {([["always", MODE.always], ["muted", MODE.muted], ["bypassed", MODE.bypassed]] as const).map(([name, value]) => (
          <button
            key={name} type="button" aria-pressed={mode === value} onClick={() => mode !== value && setMode(value)}
            className="flex-1 px-2 py-1 text-quiet not-first:border-l not-first:border-line hover:text-text focus-visible:outline-offset-[-2px] aria-pressed:bg-raised aria-pressed:text-text"
          >
            {say(`properties.${name}`)}
          </button>
        ))}
      </div>
      <div role="group" aria-label={say("properties.color")} className="flex gap-1.5">
        <button
          type="button" aria-label={say("properties.noColor")} title={say("properties.noColor")}
          onClick={() => open.edit("Colour", (edit) => setColor(edit, graph, id, null, null))}
          className="flex size-6 items-center justify-center rounded-full border border-line text-quiet"
        >
          <X size={12} />
        </button>
        {NODE_COLORS.map(({ name, title, body }) => (
          <button
            key={name} type="button" aria-label={say(`color.${name}`)} title={say(`color.${name}`)} aria-pressed={colorOf(node) === title}
            className="size-6 rounded-full border-2 border-transparent aria-pressed:border-accent" style={{ background: onPage(title) }}
            onClick={() => open.edit("Colour", (edit) => setColor(edit, graph, id, title, body))}
          />
        ))}
      </div>
      <div className="-mx-3 empty:hidden"><LinkFields session={session} id={id} node={node} /></div>
      <NodeValues session={session} id={id} node={node} views={views} onlyChanged={onlyChanged} onOnlyChanged={onOnlyChanged} />
    </div>
  );
}

function Problems({ session }: { session: Session }) {
  const say = useSay();
  const { open, catalog, problems } = useStore(session.store);
  const { document } = open;
  const [numCame, setCount] = useState(0);
  const missing = useMemo(() => missingIn(document, catalog, session.files.list), [document, catalog, session, numCame]);
  const own = problems.filter((item) => item.document === open);
  const isFine = own.length === 0 && missing.types.length === 0 && missing.files.length === 0;
  return (
    <div className="border-t border-line">
      <Section title={say("problems.title")}>
        {isFine && <p className="text-quiet">{say("problems.none")}</p>}
        {own.map((item, i) => (
          <button
            key={i} type="button" disabled={item.node === null} title={say("problems.show")}
            onClick={() => item.node !== null && showPath(session, item.node.split(":"))}
            className="rounded-md border border-danger/50 bg-raised p-2 text-left hover:border-danger disabled:pointer-events-none"
          >
            <span className="block text-xs text-danger">
              {item.title || (item.node === null ? "" : say("problems.where", { node: item.node }))}{item.input !== null && ` · ${item.input}`}
            </span>
            <span className="block break-words">{item.message}</span>
            {item.remedy !== "" && <span className="block text-xs break-words text-quiet">{item.remedy}</span>}
          </button>
        ))}
        {missing.types.length > 0 && (
          <div>
            <h4 className="text-danger">{say("problems.missingNodes")}</h4>
            <ul className="list-disc pl-5">{missing.types.map((type) => <li key={type} className="break-all">{type}</li>)}</ul>
          </div>
        )}
        {missing.files.length > 0 && (
          <div>
            <h4 className="mb-1 text-danger">{say("problems.missingModels")}</h4>
            <MissingModels session={session} files={missing.files} onCame={() => setCount((now) => now + 1)} />
          </div>
        )}
      </Section>
    </div>
  );
}
