/** Asks the server what the open workflow would do, while people look at the button that runs it. */

import type { JsonObject } from "../model/json";
import { whyOf } from "../model/reasons";
import type { Foreseen } from "./foreseen";
import type { Session } from "./session";

/** Ask for the shown document. Null when it cannot be said: no server, no worker, a graph that does not compile. */
export async function foresee(session: Session): Promise<Foreseen | null> {
  const { open } = session.store.getState();
  try {
    const body = { prompt: session.promptOf(open) as unknown as JsonObject };
    const found = await session.client.call("POST /forecast", { body });
    const runs = found.runs.map(({ node, seconds, reason }) => [node, { seconds, why: whyOf(reason) }] as const);
    return { document: open, canRun: found.can_run, cached: new Set(found.cached), runs: new Map(runs), seconds: found.seconds };
  } catch {
    return null;
  }
}
