/** `widgets_values` ↔ values by widget name. The rules are those of docs/workflow-format.md, section 3. */

import { visibleInputs, fileChoices, type FileLister, type InputSpec, type NodeSpec } from "./catalog";
import { isArray, isObject, type Json, type JsonObject } from "./json";

const WIDGET_TYPES: ReadonlySet<string> = new Set([
  "INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "LOAD_3D", "LOAD_3D_ANIMATION", "WEBCAM", "AUDIO_RECORD",
]);
const SEED_NAMES: ReadonlySet<string> = new Set(["seed", "noise_seed"]);
const BUTTONS_AFTER: ReadonlyMap<string, number> = new Map([["Load3D model_file", 3], ["Load3DAnimation model_file", 3]]);
const ZEROS: { readonly [type: string]: Json } = { INT: 0, FLOAT: 0, BOOLEAN: false, STRING: "" };

/** One entry of the list: the value of an input, the control after a seed (`of` names it), or a button. */
export type PlanEntry =
  | { readonly kind: "input"; readonly input: InputSpec }
  | { readonly kind: "control"; readonly of: string }
  | { readonly kind: "button" };

/** The widgets of a node type; `longEntries` is the list of old files, which counts inputs that are links by force. */
export interface WidgetPlan {
  readonly spec: NodeSpec;
  readonly widgets: readonly InputSpec[];
  readonly entries: readonly PlanEntry[];
  readonly longEntries: readonly PlanEntry[];
  readonly numTrailing: number;
  /** Widgets whose values are always text. */
  readonly texts: ReadonlySet<string>;
  /** Widgets an editor works on before it sends them. */
  readonly processed: readonly InputSpec[];
}

const plans = new WeakMap<NodeSpec, WidgetPlan>();

export function planOf(spec: NodeSpec): WidgetPlan {
  let plan = plans.get(spec);
  if (plan === undefined) plans.set(spec, (plan = makePlan(spec)));
  return plan;
}

export function hasWidget(item: InputSpec): boolean {
  const kind = typeof item.options.widgetType === "string" ? item.options.widgetType : item.type;
  return WIDGET_TYPES.has(kind) && item.options.socketless !== false;
}

/** Whether a seed's control ("fixed", "increment" …) follows the widget. */
export function hasControl(item: InputSpec): boolean {
  return Boolean(item.options.control_after_generate) || (item.type === "INT" && SEED_NAMES.has(item.name));
}

function makePlan(spec: NodeSpec): WidgetPlan {
  const entries: PlanEntry[] = [];
  const longEntries: PlanEntry[] = [];
  const visible = visibleInputs(spec);
  for (const item of visible) {
    if (!hasWidget(item)) continue;
    const extra: PlanEntry[] = Array.from(
      { length: BUTTONS_AFTER.get(`${spec.name} ${item.name}`) ?? 0 }, () => ({ kind: "button" }) as const,
    );
    if (hasControl(item)) extra.push({ kind: "control", of: item.name });
    const isForced = Boolean(item.options.forceInput);
    longEntries.push(isForced ? { kind: "button" } : { kind: "input", input: item }, ...extra);
    if (!isForced) entries.push({ kind: "input", input: item }, ...extra);
  }
  const widgets = entries.flatMap((entry) => (entry.kind === "input" ? [entry.input] : []));
  return {
    spec,
    widgets,
    entries,
    longEntries,
    numTrailing: visible.filter((item) => item.options.image_upload || item.options.video_upload).length,
    texts: new Set(widgets.filter(isText).map((item) => item.name)),
    processed: widgets.filter(
      (item) => item.type === "STRING" && (item.options.dynamicPrompts || item.name === "filename_prefix"),
    ),
  };
}

function isText(item: InputSpec): boolean {
  return item.type === "STRING" && Boolean(item.options.multiline || item.options.dynamicPrompts);
}

/** The plan's entries as this list of values has them. */
export function entriesFor(plan: WidgetPlan, values: readonly Json[]): readonly PlanEntry[] {
  const isLong =
    plan.longEntries.length !== plan.entries.length && values.length === plan.longEntries.length + plan.numTrailing;
  return isLong ? plan.longEntries : plan.entries;
}

/** The value a widget has before anybody chose one; undefined for a choice of files with no file at hand. */
export function defaultOf(item: InputSpec, listFiles: FileLister): Json | undefined {
  if (item.options.default !== undefined) return item.options.default;
  if (item.choices === null || item.type !== "COMBO") return ZEROS[item.type] ?? "";
  const files = fileChoices(item);
  if (files !== null) return listFiles(files)[0] ?? files.also[0];
  return (item.choices as readonly Json[])[0];
}

/** Values by widget name, in the plan's order, as a prompt has them. */
export function readValues(plan: WidgetPlan, values: Json | undefined, listFiles: FileLister): Map<string, Json> {
  const given = new Map<string, Json>();
  if (isArray(values)) {
    entriesFor(plan, values).forEach((entry, i) => {
      const value = values[i];
      if (entry.kind === "input" && value !== undefined) given.set(entry.input.name, value);
    });
  } else if (isObject(values)) {
    for (const item of plan.widgets) {
      const value = Object.hasOwn(values, item.name) ? values[item.name] : undefined;
      if (value !== undefined) given.set(item.name, value);
    }
  }
  const found = new Map<string, Json>();
  for (const item of plan.widgets) {
    const value = given.has(item.name) ? given.get(item.name) : defaultOf(item, listFiles);
    if (value !== undefined) found.set(item.name, plan.texts.has(item.name) ? editorText(value) : value);
  }
  if (plan.spec.any_input !== null && isObject(values)) {
    const declared = new Set(plan.spec.inputs.map((item) => item.name));
    for (const [name, value] of Object.entries(values)) {
      if (name !== "" && !declared.has(name) && value !== undefined) found.set(name, value);
    }
  }
  return found;
}

/** `widgets_values` with one widget set; the list is completed with defaults up to it, never shortened. */
export function withValue(
  plan: WidgetPlan, values: Json | undefined, name: string, value: Json, listFiles: FileLister,
): Json {
  if (isObject(values)) return { ...values, [name]: value };
  const list: Json[] = isArray(values) ? [...values] : [];
  const entries = entriesFor(plan, list);
  const at = entries.findIndex((entry) => entry.kind === "input" && entry.input.name === name);
  if (at < 0) return list;
  completeTo(list, entries, at, listFiles);
  list[at] = value;
  return list;
}

/** A seed's control in a list of values; "fixed" where the list has none. */
export function controlValue(plan: WidgetPlan, values: Json | undefined, name: string): string {
  const at = controlPlace(plan, values, name);
  const value = isArray(values) && at !== null ? values[at] : undefined;
  return typeof value === "string" ? value : "fixed";
}

export function withControl(
  plan: WidgetPlan, values: Json | undefined, name: string, control: string, listFiles: FileLister,
): Json | undefined {
  const at = controlPlace(plan, values, name);
  if (at === null || isObject(values)) return values;
  const list: Json[] = isArray(values) ? [...values] : [];
  completeTo(list, entriesFor(plan, list), at, listFiles);
  list[at] = control;
  return list;
}

function controlPlace(plan: WidgetPlan, values: Json | undefined, name: string): number | null {
  const entries = entriesFor(plan, isArray(values) ? values : []);
  const at = entries.findIndex((entry) => entry.kind === "control" && entry.of === name);
  return at < 0 ? null : at;
}

function completeTo(list: Json[], entries: readonly PlanEntry[], end: number, listFiles: FileLister): void {
  for (let i = list.length; i < end; i++) list.push(freshEntry(entries[i], listFiles));
}

function freshEntry(entry: PlanEntry | undefined, listFiles: FileLister): Json {
  if (entry?.kind === "input") return defaultOf(entry.input, listFiles) ?? null;
  return entry?.kind === "control" ? "fixed" : null;
}

/** `widgets_values` of a new node. */
export function freshValues(plan: WidgetPlan, listFiles: FileLister): Json[] {
  return plan.entries.map((entry) =>
    entry.kind === "control" ? "randomize" : freshEntry(entry, listFiles),
  );
}

/** A JSON value as a text field shows it; null as nothing. */
export function editorText(value: Json | undefined): string {
  if (value === null || value === undefined) return "";
  if (isArray(value)) return value.map((item) => (typeof item === "string" ? item : String(item))).join(",");
  return isObject(value) ? JSON.stringify(value satisfies JsonObject) : String(value);
}
