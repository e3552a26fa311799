/** What a subgraph shows to the outside: names, order, and what of its inside is an input or output. */

import { ArrowDown, ArrowUp, Trash2 } from "lucide-react";
import { useStore } from "zustand";
import { subgraphTools } from "../app/subgraph_commands";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import type { Edit } from "../model/edit";
import { inputsOf, inputWidget, outputsOf, socketName, titleOf } from "../model/node_reading";
import type { GraphId, GraphState, NodeRecord } from "../model/records";
import {
  labelSocket, moveSocket, promoteInput, promoteOutput, promoteWidget, removeSocket, type Side, type SubgraphTools,
} from "../model/subgraph_interface";
import { definitionSockets, widgetsOf } from "../model/widgets";
import { useDocument } from "../ui/hooks";
import { FIELD, IconButton, Section, Window } from "../ui/parts";

interface Offer {
  readonly text: string;
  readonly take: (edit: Edit, tools: SubgraphTools) => void;
}

export default function InterfaceWindow({ session, graph, onClose }: { session: Session; graph: GraphId; onClose: () => void }) {
  const say = useSay();
  const open = useDocument(useStore(session.store, (state) => state.open));
  const definition = open.document.graphs.get(graph);
  if (definition === undefined) return null;
  const name = typeof definition.rest.name === "string" ? definition.rest.name : "";
  return (
    <Window title={say("subgraph.title", { name })} onClose={onClose}>
      <label className="flex flex-col gap-1 px-3">
        <span className="text-xs text-quiet">{say("subgraph.name")}</span>
        <input
          className={FIELD} value={name}
          onChange={(event) => open.edit("Name", (edit) => edit.setRest(graph, "name", event.target.value), { merge: `name:${graph}` })}
        />
      </label>
      <Sockets session={session} definition={definition} side="inputs" />
      <Sockets session={session} definition={definition} side="outputs" />
    </Window>
  );
}

function Sockets({ session, definition, side }: { session: Session; definition: GraphState; side: Side }) {
  const say = useSay();
  const { open } = session.store.getState();
  const tools = subgraphTools(session);
  const sockets = definitionSockets(definition, side);
  const { id } = definition;
  const offers = side === "inputs" ? inputOffers(session, definition) : outputOffers(session, definition);
  return (
    <Section title={say(side === "inputs" ? "subgraph.inputs" : "subgraph.outputs")}>
      {sockets.length === 0 && <p className="text-quiet">{say("subgraph.none")}</p>}
      <ol className="flex flex-col gap-1">
        {sockets.map((item, at) => {
          const name = socketName(item);
          return (
            <li key={String(item.id ?? item.name)} className="flex items-center gap-1">
              <input
                className={FIELD} value={typeof item.label === "string" ? item.label : ""} placeholder={String(item.name ?? "")}
                aria-label={say("subgraph.label", { name: String(item.name ?? "") })}
                onChange={(event) => open.edit("Name", (edit) => labelSocket(edit, id, side, at, event.target.value), { merge: `label:${id}:${side}:${at}` })}
              />
              <span className="w-28 shrink-0 truncate text-xs text-quiet">{String(item.type ?? "")}</span>
              <IconButton label={say("subgraph.up", { name })} disabled={at === 0} onClick={() => open.edit("Order", (edit) => moveSocket(edit, id, side, at, at - 1, tools))}><ArrowUp size={15} /></IconButton>
              <IconButton label={say("subgraph.down", { name })} disabled={at === sockets.length - 1} onClick={() => open.edit("Order", (edit) => moveSocket(edit, id, side, at, at + 1, tools))}><ArrowDown size={15} /></IconButton>
              <IconButton label={say("subgraph.remove", { name })} onClick={() => open.edit("Remove", (edit) => removeSocket(edit, id, side, at, tools))}><Trash2 size={15} /></IconButton>
            </li>
          );
        })}
      </ol>
      {offers.length > 0 && (
        <select
          className={FIELD} value="" aria-label={say(side === "inputs" ? "subgraph.addInput" : "subgraph.addOutput")}
          onChange={(event) => {
            const offer = offers[Number(event.target.value)];
            if (offer !== undefined) open.edit("Show", (edit) => offer.take(edit, tools));
          }}
        >
          <option value="">{say(side === "inputs" ? "subgraph.addInput" : "subgraph.addOutput")}</option>
          {offers.map((offer, i) => <option key={i} value={i}>{offer.text}</option>)}
        </select>
      )}
    </Section>
  );
}

function inputOffers(session: Session, definition: GraphState): readonly Offer[] {
  return offersOf(session, definition, (node, id, title) => {
    const plain = inputsOf(node).flatMap((input, slot): Offer[] =>
      inputWidget(input) !== null || input.link !== null && input.link !== undefined ? [] : [{
        text: `${title} · ${socketName(input)}`,
        take: (edit, tools) => promoteInput(edit, definition.id, id, slot, tools),
      }]);
    const context = session.contextOf(session.store.getState().open.document);
    const values = widgetsOf(context, definition, node).filter((view) => !view.isLinked && view.spec !== null);
    return [...plain, ...values.map((view): Offer => ({
      text: `${title} · ${view.label}`, take: (edit, tools) => promoteWidget(edit, definition.id, id, view.name, tools),
    }))];
  });
}

function outputOffers(session: Session, definition: GraphState): readonly Offer[] {
  return offersOf(session, definition, (node, id, title) => outputsOf(node).map((output, slot) => ({
    text: `${title} · ${socketName(output)}`, take: (edit, tools) => promoteOutput(edit, definition.id, id, slot, tools),
  })));
}

function offersOf(
  session: Session, definition: GraphState, make: (node: NodeRecord, id: string, title: string) => readonly Offer[],
): readonly Offer[] {
  const { open, catalog } = session.store.getState();
  return [...definition.nodes.byId].flatMap(([id, node]) => make(node, id, titleOf(node, catalog, open.document)));
}
