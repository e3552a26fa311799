/** The line at the bottom: connection, device, queue, problems. */

import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import type { Stats } from "../server/api_types";
import { useWatched } from "./watching";

const EVERY_MS = 5000;
const DOTS = { there: "bg-good", away: "bg-danger", locked: "bg-danger" } as const;

export function StatusBar({ session, onQueue, onProblems }: { session: Session; onQueue: () => void; onProblems: () => void }) {
  const say = useSay();
  const connection = useStore(session.store, (state) => state.connection);
  const run = useStore(session.store, (state) => `${state.run?.job} ${state.run?.state}`);
  const count = useStore(session.store, (state) => state.problems.filter((item) => item.document === state.open).length);
  const { value } = useWatched(session, (signal) => session.client.call("GET /system/stats", { signal }), EVERY_MS, run);
  return (
    <footer className="flex h-6.5 shrink-0 items-center gap-4 overflow-hidden border-t border-line bg-surface px-3 text-xs whitespace-nowrap text-quiet">
      <span className="flex items-center gap-1.5" role="status">
        <span className={`size-2 rounded-full ${DOTS[connection]}`} aria-hidden />{say(`status.${connection}`)}
      </span>
      {value !== null && <span className="truncate max-md:hidden">{deviceOf(value, say)}</span>}
      <span className="flex-1" />
      {count > 0 && <button type="button" className="text-danger hover:underline" onClick={onProblems}>{say("status.problems", { count })}</button>}
      {value !== null && (
        <button type="button" className="hover:text-text" onClick={onQueue}>
          {say("status.queue", { running: value.queue.running, pending: value.queue.pending })}
        </button>
      )}
    </footer>
  );
}

function deviceOf(stats: Stats, say: ReturnType<typeof useSay>): string {
  const [device] = stats.devices;
  if (device === undefined) return "";
  const name = typeof device.name === "string" ? device.name : String(device.type ?? "");
  const [total, free] = [Number(device.vram_total ?? device.total_bytes), Number(device.vram_free ?? device.free_bytes)];
  if (!(total > 0) || Number.isNaN(free)) return name;
  return `${name} · ${say("status.memory", { used: ((total - free) / 2 ** 30).toFixed(1), total: (total / 2 ** 30).toFixed(1) })}`;
}
