/** What a run showed about each node, from the events of its job: state, progress, time, texts, pictures. */

import { idText, isArray, isObject, type Json, type JsonObject } from "./json";
import { whyOf, type Why } from "./reasons";
import type { NodeId } from "./records";

export type NodeRunState = "running" | "ran" | "cached" | "failed";

/** `state` is null while only what an earlier run left is known: its pictures and texts. */
export interface NodeRun {
  readonly state: NodeRunState | null;
  readonly startedS: number | null;
  readonly durationS: number | null;
  /** The memory it held at its peak; null where it held little or nobody says. */
  readonly heldBytes: number | null;
  /** 0 to 1; null when the node does not say. */
  readonly progress: number | null;
  /** Ids of pictures of the server. */
  readonly pictures: readonly string[];
  readonly texts: readonly string[];
  /** Why it ran; null while nobody has said. */
  readonly why: Why | null;
  /** The newest unfinished picture, while the job runs. */
  readonly preview: RunPreview | null;
}

/** Where the server has an unfinished picture: its job and node, and when it was made. */
export interface RunPreview {
  readonly job: string;
  readonly node: NodeId;
  readonly atS: number;
}

export interface RunFacts {
  /** By path: "12", or "5:12" for a node inside of the instance 5. */
  readonly nodes: ReadonlyMap<string, NodeRun>;
  readonly running: string | null;
}

export const NO_FACTS: RunFacts = { nodes: new Map(), running: null };
const FRESH: NodeRun = {
  state: null, startedS: null, durationS: null, heldBytes: null, progress: null, pictures: [], texts: [], why: null, preview: null,
};

/** At the start of a run: states and errors are gone, what the last one showed stays until there is something new. */
export function nextRun(facts: RunFacts): RunFacts {
  const nodes = new Map<string, NodeRun>();
  for (const [path, { pictures, texts }] of facts.nodes) {
    if (pictures.length > 0 || texts.length > 0) nodes.set(path, { ...FRESH, pictures, texts });
  }
  return { nodes, running: null };
}

export function afterEvent(facts: RunFacts, kind: string, data: JsonObject, timeS: number, job = ""): RunFacts {
  const path = idText(data.node);
  switch (kind) {
    case "nodes_cached":
      return changed(facts, isArray(data.nodes) ? data.nodes.map(idText) : [], () => ({ state: "cached" }));
    case "node_started":
      return { ...changed(facts, [path], () => ({ state: "running", startedS: timeS, heldBytes: null, progress: null })), running: path };
    case "node_progress": {
      const [value, max] = [Number(data.value), Number(data.max)];
      return changed(facts, [path], () => ({ progress: max > 0 ? Math.min(1, Math.max(0, value / max)) : null }));
    }
    case "node_preview":
      return path === null ? facts : changed(facts, [path], () => ({ preview: { job, node: path, atS: timeS } }));
    case "node_finished":
      return { ...finished(facts, path, data, timeS), running: facts.running === path ? null : facts.running };
    case "node_text":
      return changed(facts, [path], () => ({ texts: [String(data.text ?? "")] }));
    case "outputs_placed":
      return changed(facts, [path], (old) => {
        const [kept, names] = [old.state === "running" ? [] : old.pictures, otherFilesOf(data.files)];
        return { pictures: [...kept, ...picturesOf(data.files)], ...(names.length > 0 ? { texts: names } : {}) };
      });
    case "job_failed": case "job_cancelled": case "job_quarantined":
      return failed(withoutPreviews(facts), isObject(data.error) ? data.error : {});
    case "job_succeeded":
      return { ...withoutPreviews(facts), running: null };
    case "job_requeued":
      return withoutPreviews(facts);
    default:
      return facts;
  }
}

/** Notes why nodes ran, by path. */
export function explained(facts: RunFacts, reasons: JsonObject): RunFacts {
  const nodes = new Map(facts.nodes);
  for (const [path, reason] of Object.entries(reasons)) {
    const run = nodes.get(path);
    if (run !== undefined && isObject(reason)) nodes.set(path, { ...run, why: whyOf(reason) });
  }
  return { ...facts, nodes };
}

/** The facts of a node of the shown graph; inside of a definition, those of whichever instance ran last. */
export function factsOf(facts: RunFacts, id: NodeId, isRoot: boolean): NodeRun | undefined {
  const own = facts.nodes.get(id);
  if (own !== undefined || isRoot) return isRoot ? (own ?? innerRun(facts, id)) : own;
  for (const [path, run] of facts.nodes) if (path.endsWith(`:${id}`)) return run;
  return undefined;
}

/** What an instance shows of its inner nodes: that one of them is running. */
function innerRun(facts: RunFacts, id: NodeId): NodeRun | undefined {
  const { running } = facts;
  return running !== null && running.startsWith(`${id}:`) ? facts.nodes.get(running) : undefined;
}

function changed(
  facts: RunFacts, paths: readonly (string | null)[], change: (old: NodeRun) => Partial<NodeRun>,
): RunFacts {
  const nodes = new Map(facts.nodes);
  for (const path of paths) {
    if (path === null) continue;
    const old = nodes.get(path) ?? FRESH;
    nodes.set(path, { ...old, ...change(old) });
  }
  return { ...facts, nodes };
}

/** The server keeps unfinished pictures no longer than their job runs. */
function withoutPreviews(facts: RunFacts): RunFacts {
  const shown = [...facts.nodes].flatMap(([path, run]) => (run.preview === null ? [] : [path]));
  return changed(facts, shown, () => ({ preview: null }));
}

function finished(facts: RunFacts, path: string | null, data: JsonObject, timeS: number): RunFacts {
  const texts = [...textsOf(data.ui), ...otherFilesOf(data.files)];
  const pictures = picturesOf(data.files);
  return changed(facts, [path], (old) => ({
    state: data.cached === true ? "cached" : "ran",
    durationS: data.cached === true || old.startedS === null ? null : Math.max(0, timeS - old.startedS),
    heldBytes: data.cached !== true && typeof data.held_bytes === "number" ? data.held_bytes : null,
    progress: null,
    ...(texts.length > 0 ? { texts } : {}),
    ...(pictures.length > 0 ? { pictures } : {}),
  }));
}

function failed(facts: RunFacts, error: JsonObject): RunFacts {
  const stopped = changed(facts, [facts.running], () => ({ state: null, progress: null }));
  const path = idText(error.node) ?? (error.message === undefined ? null : facts.running);
  return { ...changed(stopped, [path], () => ({ state: "failed", progress: null })), running: null };
}

/** The texts of a node's output for the page: `{"text": ["…"]}`. */
function textsOf(ui: Json | undefined): string[] {
  const list = isObject(ui) ? ui.text : undefined;
  if (typeof list === "string") return [list];
  return isArray(list) ? list.filter((item): item is string => typeof item === "string") : [];
}

const PICTURE_NAME = /\.(?:png|jpe?g|webp|gif|avif|svg|bmp)$/i;

/** The pictures among the files an event names: `outputs_placed`, and `node_finished` of a cached node. */
export function picturesOf(files: Json | undefined): string[] {
  return listed(files).flatMap(({ asset, filename }) =>
    typeof asset === "string" && (typeof filename !== "string" || PICTURE_NAME.test(filename)) ? [asset] : []);
}

/** The names of the files that a page cannot draw: latents, sound, weights. */
export function otherFilesOf(files: Json | undefined): string[] {
  return listed(files).flatMap(({ filename, subfolder }) =>
    typeof filename === "string" && !PICTURE_NAME.test(filename)
      ? [typeof subfolder === "string" && subfolder !== "" ? `${subfolder}/${filename}` : filename]
      : []);
}

function listed(files: Json | undefined): JsonObject[] {
  return isArray(files) ? files.filter(isObject) : [];
}
