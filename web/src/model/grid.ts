/** Grids of pictures: one or two values of the workflow are varied, everything else stays. */

import { choicesOf, type FileLister, type InputSpec } from "./catalog";
import { compileWorkflow, type CompileOptions, type Prompt } from "./compile/compile";
import { Edit } from "./edit";
import type { Json, JsonObject } from "./json";
import { setWidget } from "./node_edits";
import { placeOf } from "./node_paths";
import type { WorkflowDocument } from "./records";
import { saveWorkflow } from "./workflow_file";

export interface GridAxis {
  /** The path of a node: "12", or "5:12" inside of what the instance 5 stands for. */
  readonly node: string;
  readonly widget: string;
  readonly label: string;
  readonly values: readonly Json[];
}

export interface GridCell {
  readonly column: number;
  readonly row: number;
  readonly prompt: Prompt;
  /** The workflow with the cell's values: it goes into the picture. */
  readonly workflow: JsonObject;
}

/** One cell of a grid on the server. */
export interface GridJob {
  readonly column: number;
  readonly row: number;
  readonly job: string;
  /** The state the server says: "queued" … "succeeded". */
  readonly state: string;
  /** The address of its picture; null while there is none. */
  readonly picture: string | null;
  readonly message: string;
}

/** A grid that runs or ran. */
export interface GridRun {
  /** The name of the batch: the jobs' client. */
  readonly batch: string;
  readonly x: GridAxis;
  readonly y: GridAxis | null;
  readonly jobs: readonly GridJob[];
}

/** Values out of what people wrote; `wrong` are the parts that are none. */
export interface ReadValues {
  readonly values: readonly Json[];
  readonly wrong: readonly string[];
}

export const MAX_CELLS = 100;
const RANGE = /^(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)(?:\s*([:/])\s*([\d.]+))?$/;

/**
 * Numbers are written with commas, as ranges `1..9`, `1..9:2` (every second) or `0..1/5` (five of them); choices by their
 * name or a part of it that only one has; texts one on a line.
 */
export function readValues(text: string, spec: InputSpec, listFiles: FileLister): ReadValues {
  const separator = spec.type === "INT" || spec.type === "FLOAT" || spec.type === "BOOLEAN" ? /[,\n]/ : /\n/;
  const parts = text.split(separator).map((part) => part.trim()).filter((part) => part !== "");
  const found = parts.map((part) => valuesOf(part, spec, listFiles));
  return {
    values: found.flatMap((item) => item ?? []).slice(0, MAX_CELLS + 1),
    wrong: parts.filter((_part, i) => found[i] === null),
  };
}

function valuesOf(part: string, spec: InputSpec, listFiles: FileLister): readonly Json[] | null {
  const choices = choicesOf(spec, listFiles);
  if (choices !== null) return choiceOf(part, choices);
  switch (spec.type) {
    case "INT": case "FLOAT": return numbersOf(part, spec);
    case "BOOLEAN": {
      const word = part.toLowerCase();
      if (["true", "yes", "1", "on"].includes(word)) return [true];
      return ["false", "no", "0", "off"].includes(word) ? [false] : null;
    }
    default: return [part];
  }
}

function choiceOf(part: string, choices: readonly Json[]): readonly Json[] | null {
  const exact = choices.filter((choice) => String(choice) === part);
  const near = choices.filter((choice) => String(choice).toLowerCase().includes(part.toLowerCase()));
  const found = exact.length > 0 ? exact : near;
  return found.length === 1 ? found : null;
}

function numbersOf(part: string, spec: InputSpec): readonly Json[] | null {
  const isWhole = spec.type === "INT";
  const range = RANGE.exec(part);
  if (range === null) {
    if (isWhole && /^-?\d{16,}$/.test(part)) return [BigInt(part)];
    const value = Number(part);
    return part !== "" && Number.isFinite(value) ? [tidy(value, isWhole)] : null;
  }
  const [from, to, amount] = [Number(range[1]), Number(range[2]), Number(range[4])];
  if (!Number.isFinite(from) || !Number.isFinite(to) || (range[3] !== undefined && !(amount > 0))) return null;
  const count = range[3] === "/" ? Math.round(amount) : Math.floor(Math.abs(to - from) / (range[3] === ":" ? amount : 1) + 1e-9) + 1;
  if (count < 1 || count > MAX_CELLS) return null;
  const step = range[3] === "/" ? (count === 1 ? 0 : (to - from) / (count - 1)) : Math.sign(to - from) * (range[3] === ":" ? amount : 1);
  return Array.from({ length: count }, (_, i) => tidy(from + i * step, isWhole));
}

/** Whole where it has to be; otherwise without the dust of floating point. */
function tidy(value: number, isWhole: boolean): number {
  return isWhole ? Math.round(value) : Number(value.toPrecision(12));
}

/**
 * One prompt for each pair of values; a grid of one axis has one row. A node inside of a subgraph is changed in its
 * definition, and so for all its instances. Raises CompileError.
 */
export function gridCells(document: WorkflowDocument, x: GridAxis, y: GridAxis | null, options: CompileOptions): readonly GridCell[] {
  return (y?.values ?? [null]).flatMap((other, row) => x.values.map((value, column): GridCell => {
    const edit = new Edit(document);
    setAt(edit, document, x, value, options);
    if (y !== null) setAt(edit, document, y, other, options);
    const changed = edit.document();
    return { column, row, prompt: compileWorkflow(changed, options), workflow: saveWorkflow(changed) };
  }));
}

function setAt(edit: Edit, document: WorkflowDocument, { node, widget }: GridAxis, value: Json, { catalog, listFiles }: CompileOptions): void {
  const place = placeOf(document, node);
  if (place !== null) setWidget(edit, place.graph.id, place.id, widget, value, catalog, listFiles);
}
