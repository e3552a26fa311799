/** ELK's layered layout in a worker of its own, which ends with the answer. */

import Elk from "elkjs/lib/elk-api.js";
import workerUrl from "elkjs/lib/elk-worker.min.js?url";
import type { LayoutEngine } from "../geometry/arrange";

export const layered: LayoutEngine = async (graph) => {
  const elk = new Elk({ workerFactory: () => new Worker(workerUrl) });
  try {
    return await elk.layout(graph as never);
  } finally {
    elk.terminateWorker();
  }
};
