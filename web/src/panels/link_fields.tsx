/** The inputs of a node as lists of what fits: links without a pointer. */

import { useId } from "react";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { connect, disconnectInput } from "../model/link_edits";
import { inputLink, inputsOf, inputWidget, outputsOf, socketName, titleOf } from "../model/node_reading";
import type { NodeId, NodeRecord } from "../model/records";
import { socketType, typesFit } from "../model/socket_types";
import { FIELD, Section } from "../ui/parts";

export function LinkFields({ session, id, node }: { session: Session; id: NodeId; node: NodeRecord }) {
  const say = useSay();
  const sockets = inputsOf(node).flatMap((input, slot) =>
    inputWidget(input) === null || inputLink(input) !== null ? [{ input, slot }] : []);
  if (sockets.length === 0) return null;
  return (
    <Section title={say("properties.inputs")}>
      {sockets.map(({ input, slot }) => (
        <LinkField key={slot} session={session} id={id} slot={slot} name={socketName(input)} type={socketType(input)} link={inputLink(input)} />
      ))}
    </Section>
  );
}

interface FieldProps {
  readonly session: Session;
  readonly id: NodeId;
  readonly slot: number;
  readonly name: string;
  readonly type: string;
  readonly link: string | null;
}

function LinkField({ session, id, slot, name, type, link }: FieldProps) {
  const say = useSay();
  const field = useId();
  const { open, catalog } = session.store.getState();
  const { graph, document } = open;
  const current = graph.links.byId.get(link ?? "");
  const sources = [...graph.nodes.byId].flatMap(([node, record]) => node === id ? [] : outputsOf(record).flatMap((output, at) =>
    typesFit(socketType(output), type) ? [{ node, slot: at, text: `${titleOf(record, catalog, document)} #${node} · ${socketName(output)}` }] : []));
  const chosen = sources.findIndex((item) => item.node === current?.origin && item.slot === current.originSlot);
  const choose = (at: number) => open.edit("Link", (edit) => {
    const source = sources[at];
    if (source === undefined) disconnectInput(edit, graph.id, { node: id, slot });
    else if (connect(edit, graph.id, source, { node: id, slot }) === null) session.say(say("properties.circle"), true);
  });
  return (
    <div className="flex items-center gap-2">
      <label htmlFor={field} className="w-24 shrink-0 truncate text-xs text-quiet" title={type}>{name}</label>
      <select id={field} className={FIELD} value={chosen} onChange={(event) => choose(Number(event.target.value))}>
        <option value={-1}>{current !== undefined && chosen < 0 ? say("properties.linked") : say("properties.noLink")}</option>
        {sources.map((item, at) => <option key={at} value={at}>{item.text}</option>)}
      </select>
    </div>
  );
}
