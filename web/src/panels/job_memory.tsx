/** What a job held: the most any of its nodes did, node by node, and where the weights were when it was over. */

import { useState } from "react";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { isArray, isObject, type JsonObject } from "../model/json";
import type { Job } from "../server/api_types";
import { sizeText } from "../ui/size";

const MAX_SHOWN = 8;

interface NodeMemory {
  readonly id: string;
  readonly title: string;
  readonly bytes: number;
}

/** Asks for the record of the job when it is opened: lists of jobs do not carry it. */
export function JobMemory({ session, job }: { session: Session; job: string }) {
  const say = useSay();
  const [record, setRecord] = useState<Job | null>(null);
  const load = () => void session.client.call("GET /jobs/{job}", { path: { job } })
    .then(setRecord, (error: unknown) => session.tell(error));
  return (
    <details className="mt-1 text-xs" onToggle={(event) => event.currentTarget.open && record === null && load()}>
      <summary className="w-fit cursor-default rounded-md text-quiet hover:text-text">{say("memory.open")}</summary>
      {record === null ? <p className="text-quiet">{say("app.loading")}</p> : <Figures record={record} />}
    </details>
  );
}

function Figures({ record }: { record: Job }) {
  const say = useSay();
  const nodes = nodesOf(record);
  const most = nodes[0]?.bytes ?? 0;
  return (
    <div className="flex flex-col gap-1 pt-1">
      {most === 0 && <p className="text-quiet">{say("memory.none")}</p>}
      {most > 0 && (
        <>
          <p>{say("memory.peak", { size: sizeText(most, say) })}</p>
          <ul aria-label={say("memory.nodes")} title={say("memory.nodes")} className="flex flex-col gap-1">
            {nodes.slice(0, MAX_SHOWN).map(({ id, title, bytes }) => (
              <li key={id}>
                <span className="flex gap-2">
                  <span className="min-w-0 flex-1 truncate" title={title}>{title}</span>
                  <span className="text-quiet tabular-nums">{sizeText(bytes, say)}</span>
                </span>
                <span aria-hidden className="block h-0.5 bg-line"><span className="block h-full bg-accent" style={{ width: `${(100 * bytes) / most}%` }} /></span>
              </li>
            ))}
          </ul>
          {nodes.length > MAX_SHOWN && <p className="text-quiet">{say("memory.more", { count: nodes.length - MAX_SHOWN })}</p>}
        </>
      )}
      {devicesOf(record).map((device, i) => (
        <div key={i}>
          <p className="mt-1 text-quiet">
            {say("memory.device", {
              device: String(device.device ?? ""), used: sizeText(Number(device.resident_bytes ?? 0), say), total: sizeText(Number(device.budget_bytes ?? 0), say),
            })}
          </p>
          <ul className="list-disc pl-4 text-quiet">
            {listed(device.networks).map((network, at) => (
              <li key={at} className="break-words">
                {String(network.what ?? "")}: {say("memory.network", {
                  size: sizeText(Number(network.resident_bytes ?? 0), say), moved: sizeText(Number(network.moved_bytes ?? 0), say),
                })}
              </li>
            ))}
          </ul>
        </div>
      ))}
    </div>
  );
}

/** The largest first. A node has the title of the file, or else its type. */
function nodesOf({ stats, prompt }: Job): readonly NodeMemory[] {
  const held = isObject(stats?.node_bytes) ? stats.node_bytes : {};
  return Object.entries(held)
    .map(([id, bytes]) => ({ id, title: titleIn(prompt, id), bytes: Number(bytes) || 0 }))
    .toSorted((one, two) => two.bytes - one.bytes);
}

function titleIn(prompt: JsonObject | undefined, id: string): string {
  const node = prompt?.[id];
  if (!isObject(node)) return id;
  const title = isObject(node._meta) ? node._meta.title : undefined;
  return typeof title === "string" && title !== "" ? title : String(node.class_type ?? id);
}

function devicesOf({ stats }: Job): readonly JsonObject[] {
  return listed(isObject(stats?.memory) ? stats.memory.devices : undefined);
}

function listed(value: unknown): readonly JsonObject[] {
  return isArray(value) ? value.filter(isObject) : [];
}
