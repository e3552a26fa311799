/** The workflow as a form: chosen values in an order of their own, with names and limits, kept in the file's `extra`. */

import type { Edit } from "./edit";
import { idText, isArray, isObject, type Json, type JsonObject } from "./json";
import { placeOf, placesOf } from "./node_paths";
import { positionOf, propertiesOf, titleOf, typeOf } from "./node_reading";
import { ROOT, rootOf, type GraphId, type NodeId, type NodeRecord, type WorkflowDocument } from "./records";
import { widgetsOf, type WidgetContext, type WidgetView } from "./widgets";

export interface FormField {
  /** The path of a node: "12", or "5:12" inside of what the instance 5 stands for. */
  readonly node: string;
  readonly widget: string;
  /** null for the name it has anyway. */
  readonly label: string | null;
  /** Limits within those of the node; null for none. */
  readonly min: number | null;
  readonly max: number | null;
}

export interface WorkflowForm {
  readonly title: string;
  readonly fields: readonly FormField[];
  /** Paths of the nodes whose pictures are shown. */
  readonly outputs: readonly string[];
}

/** A field of the form that the document has, as it is now. */
export interface ShownField {
  readonly field: FormField;
  readonly label: string;
  /** Where the node is, and its id there. */
  readonly graph: GraphId;
  readonly id: NodeId;
  readonly record: NodeRecord;
  readonly view: WidgetView;
}

const KEY = "atelier_form";
const SUGGESTED: ReadonlySet<string> = new Set(["seed", "noise_seed", "width", "height", "steps"]);

/** The form people made; null where the file has none. Entries that are no fields are left out. */
export function readForm(document: WorkflowDocument): WorkflowForm | null {
  const extra = rootOf(document).rest.extra;
  const form = isObject(extra) ? extra[KEY] : undefined;
  if (!isObject(form)) return null;
  const number = (value: Json | undefined) => (typeof value === "number" && Number.isFinite(value) ? value : null);
  const fields = (isArray(form.fields) ? form.fields : []).flatMap((item): FormField[] => {
    const node = isObject(item) ? idText(item.node) : null;
    if (!isObject(item) || node === null || typeof item.widget !== "string") return [];
    const label = typeof item.label === "string" && item.label !== "" ? item.label : null;
    return [{ node, widget: item.widget, label, min: number(item.min), max: number(item.max) }];
  });
  const outputs = (isArray(form.outputs) ? form.outputs : []).map(idText).filter((id): id is string => id !== null);
  return { title: typeof form.title === "string" ? form.title : "", fields, outputs };
}

export function putForm(edit: Edit, form: WorkflowForm): void {
  const extra = edit.graph(ROOT).rest.extra;
  const fields = form.fields.map(({ node, widget, label, min, max }): JsonObject => ({
    node, widget, ...(label === null ? {} : { label }), ...(min === null ? {} : { min }), ...(max === null ? {} : { max }),
  }));
  const value = { title: form.title, fields, outputs: form.outputs };
  edit.setRest(ROOT, "extra", { ...(isObject(extra) ? extra : {}), [KEY]: value });
}

/** What a form is before anybody made one: texts and pictures from the top down, seeds and sizes, and all that ends in a file. */
export function suggestedForm(context: WidgetContext): WorkflowForm {
  const root = rootOf(context.document).nodes.byId;
  const placed = fieldPaths(context.document).map((node) => ({ node, ...positionOf(root.get(node.split(":", 1)[0] as string) ?? {}) }));
  const fieldsOf = (paths: readonly { readonly node: string }[], isWanted: (view: WidgetView) => boolean) => paths.flatMap(({ node }) =>
    offered(context, node).filter(isWanted).map((view): FormField => ({ node, widget: view.name, label: null, min: null, max: null })));
  const fields = [
    ...fieldsOf(placed.toSorted((one, other) => one.y - other.y || one.x - other.x), isContent),
    ...fieldsOf(placed, (view) => !isContent(view) && SUGGESTED.has(view.name)),
  ];
  return { title: "", fields, outputs: outputPaths(context) };
}

/** A text or a picture: called after its node, for its own name is only "text" or "image". */
function isContent({ spec }: WidgetView): boolean {
  return Boolean(spec?.options.multiline) || Boolean(spec?.options.image_upload);
}

/** The nodes whose values a form may show; those of a definition once, for all its instances have the same. */
export function fieldPaths(document: WorkflowDocument): readonly string[] {
  const seen = new Set<string>();
  return placesOf(document).flatMap(({ path, graph, id }) => {
    const key = `${graph.id}/${id}`;
    if (seen.has(key)) return [];
    seen.add(key);
    return [path];
  });
}

/** The nodes whose results a form may show. */
export function outputPaths({ document, catalog }: WidgetContext): readonly string[] {
  return placesOf(document).filter(({ record }) => catalog.get(typeOf(record))?.is_output_node === true).map(({ path }) => path);
}

/** The values of a node, by its path, that people may choose: those no link and no instance around it decides. */
export function offered(context: WidgetContext, node: string): readonly WidgetView[] {
  const place = placeOf(context.document, node);
  if (place === null) return [];
  const proxies = place.holder === null ? null : propertiesOf(place.holder).proxyWidgets;
  const given = new Set((isArray(proxies) ? proxies : []).flatMap((item) =>
    (isArray(item) && idText(item[0]) === place.id ? [item[1]] : [])));
  return widgetsOf(context, place.graph, place.record).filter((view) =>
    view.spec !== null && !view.isLinked && !given.has(view.name));
}

/** The fields of a form that are there, within their limits. */
export function shownFields(context: WidgetContext, form: WorkflowForm): readonly ShownField[] {
  return form.fields.flatMap((field) => {
    const place = placeOf(context.document, field.node);
    const view = offered(context, field.node).find((item) => item.name === field.widget);
    if (place === null || view === undefined) return [];
    const { graph, id, record } = place;
    return [{ field, label: field.label ?? defaultLabel(context, record, view), graph: graph.id, id, record, view: limited(view, field) }];
  });
}

/** The others: their node is gone, or something else decides their value. They stay in the file. */
export function hiddenFields(context: WidgetContext, form: WorkflowForm): readonly FormField[] {
  const shown = new Set(shownFields(context, form).map(({ field }) => field));
  return form.fields.filter((field) => !shown.has(field));
}

/** What a field is called where its node cannot say. */
export function nameOfField({ label, node, widget }: FormField): string {
  return label ?? `${widget} #${node}`;
}

/** Fields with two of them in each other's place. */
export function swapped(fields: readonly FormField[], one: FormField, other: FormField): readonly FormField[] {
  return fields.map((field) => (field === one ? other : field === other ? one : field));
}

function defaultLabel(context: WidgetContext, record: NodeRecord, view: WidgetView): string {
  return isContent(view) ? titleOf(record, context.catalog, context.document) : view.label;
}

function limited(view: WidgetView, { min, max }: FormField): WidgetView {
  if (view.spec === null) return view;
  const own = (key: "min" | "max") => (typeof view.spec?.options[key] === "number" ? (view.spec.options[key] as number) : null);
  const low = min === null ? own("min") : Math.max(min, own("min") ?? min);
  const high = max === null ? own("max") : Math.min(max, own("max") ?? max);
  const options = { ...view.spec.options, ...(low === null ? {} : { min: low }), ...(high === null ? {} : { max: high }) };
  return { ...view, spec: { ...view.spec, options } };
}

/** The step of a number on a slider: its own, or a hundredth of the way. */
export function stepOf({ view }: ShownField): number {
  const { spec } = view;
  const step = spec?.options.step;
  if (typeof step === "number" && step > 0) return step;
  return spec?.type === "INT" ? 1 : 0.01;
}
