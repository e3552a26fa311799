/** The widgets of a node as its body shows them: names, specs, values, and where each value is kept. */

import type { Catalog, FileLister, InputSpec } from "./catalog";
import { idText, isArray, isObject, type Json, type JsonObject } from "./json";
import {
  inputLink, inputsOf, inputWidget, isInstance, outputLinks, outputsOf, propertiesOf, typeOf,
} from "./node_reading";
import {
  INPUT_PANEL, NOTE_TYPES, type GraphId, type GraphState, type NodeId, type NodeRecord, type WorkflowDocument,
} from "./records";
import { controlValue, defaultOf, hasControl, planOf, readValues, withControl, withValue } from "./widget_plan";

/** Where a value is kept: by the plan of the node's type, or at a place of `widgets_values`. */
export type WidgetPlace = { readonly kind: "planned" } | { readonly kind: "at"; readonly index: number };

export interface WidgetView {
  readonly name: string;
  readonly label: string;
  /** How it is declared; null for notes and for nodes of unknown types. */
  readonly spec: InputSpec | null;
  readonly value: Json | undefined;
  /** A seed's control ("fixed", "increment", "decrement", "randomize"); null for other widgets. */
  readonly control: string | null;
  /** The input that is this widget's socket; null when the file lists none. */
  readonly socket: number | null;
  /** Whether a link decides the value. */
  readonly isLinked: boolean;
  readonly place: WidgetPlace;
}

/** What reading widgets needs to know besides the node. */
export interface WidgetContext {
  readonly document: WorkflowDocument;
  readonly catalog: Catalog;
  readonly listFiles: FileLister;
}

export function widgetsOf(context: WidgetContext, graph: GraphState, node: NodeRecord): readonly WidgetView[] {
  const type = typeOf(node);
  if (isInstance(node, context.document)) return instanceWidgets(context, node);
  const spec = context.catalog.get(type);
  if (spec !== undefined) {
    const plan = planOf(spec);
    const values = readValues(plan, node.widgets_values, context.listFiles);
    return plan.widgets.map((item) => ({
      ...socketFacts(node, item.name),
      spec: item,
      value: values.get(item.name),
      control: hasControl(item) ? controlValue(plan, node.widgets_values, item.name) : null,
      place: { kind: "planned" },
    }));
  }
  if (type === "PrimitiveNode") return primitiveWidgets(context, graph, node);
  return valuesInOrder(node, NOTE_TYPES.has(type));
}

/** `widgets_values` with a widget's value set; `views` are those of `widgetsOf` for the node. */
export function valuesWith(
  context: WidgetContext, node: NodeRecord, views: readonly WidgetView[], name: string, value: Json,
): Json {
  const view = views.find((item) => item.name === name);
  const values = node.widgets_values;
  if (view === undefined) return values ?? [];
  const spec = context.catalog.get(typeOf(node));
  if (view.place.kind === "planned") {
    return spec === undefined ? (values ?? []) : withValue(planOf(spec), values, name, value, context.listFiles);
  }
  if (isObject(values)) return { ...values, [name]: value };
  const list: Json[] = isArray(values) ? [...values] : [];
  const { index } = view.place;
  // A list is filled up with the values that counted until now, so that they go on counting.
  for (let i = list.length; i < index; i++) list.push(views[i]?.value ?? null);
  list[index] = value;
  return list;
}

export function valuesWithControl(
  context: WidgetContext, node: NodeRecord, name: string, control: string,
): Json | undefined {
  const spec = context.catalog.get(typeOf(node));
  if (spec !== undefined) return withControl(planOf(spec), node.widgets_values, name, control, context.listFiles);
  const values = isArray(node.widgets_values) ? node.widgets_values : [];
  return typeOf(node) === "PrimitiveNode" && values.length > 0 ? [values[0] as Json, control] : node.widgets_values;
}

// ------------------------------------------------------------------ kinds of nodes

function socketFacts(node: NodeRecord, name: string): Pick<WidgetView, "name" | "label" | "socket" | "isLinked"> {
  const socket = inputsOf(node).findIndex((input) => inputWidget(input) === name);
  const input = socket < 0 ? undefined : inputsOf(node)[socket];
  const label = typeof input?.label === "string" && input.label !== "" ? input.label : name;
  return { name, label, socket: socket < 0 ? null : socket, isLinked: inputLink(input) !== null };
}

function primitiveWidgets(context: WidgetContext, graph: GraphState, node: NodeRecord): readonly WidgetView[] {
  const values = isArray(node.widgets_values) ? node.widgets_values : [];
  const link = outputLinks(outputsOf(node)[0]).map((id) => graph.links.byId.get(id)).find((item) => item !== undefined);
  const target = link === undefined ? undefined : graph.nodes.byId.get(link.target);
  const input = target === undefined || link === undefined ? undefined : inputsOf(target)[link.targetSlot];
  const name = input === undefined ? null : inputWidget(input);
  const spec = target === undefined || name === null ? undefined : context.catalog.get(typeOf(target));
  const item = spec?.inputs.find((each) => each.name === name) ?? null;
  if (item === null && values.length === 0) return [];
  const control = typeof values[1] === "string" && item !== null && ["INT", "FLOAT", "COMBO"].includes(item.type);
  const label = typeof outputsOf(node)[0]?.label === "string" ? (outputsOf(node)[0]?.label as string) : "value";
  return [{
    name: "value", label, spec: item, value: values[0] ?? (item ? defaultOf(item, context.listFiles) : undefined),
    control: control ? (values[1] as string) : null, socket: null, isLinked: false, place: { kind: "at", index: 0 },
  }];
}

function valuesInOrder(node: NodeRecord, isNote: boolean): readonly WidgetView[] {
  const values = node.widgets_values;
  const named: [string, Json | undefined][] = isArray(values)
    ? values.map((value, i) => [isNote && i === 0 ? "text" : String(i), value])
    : isObject(values) ? Object.entries(values) : isNote ? [["text", ""]] : [];
  return named.map(([name, value], index) => ({
    name, label: name, spec: null, value, control: null, socket: null, isLinked: false, place: { kind: "at", index },
  }));
}

// ------------------------------------------------------------------ subgraph instances

/** An inner widget: its node in the definition and its name there. */
export interface InnerWidget {
  readonly node: NodeId;
  readonly widget: string;
}

const promotedByGraph = new WeakMap<GraphState, ReadonlyMap<number, InnerWidget>>();

/** Inputs of a definition that end in a widget of an inner node, by position, in order. */
export function promotedInputs(definition: GraphState): ReadonlyMap<number, InnerWidget> {
  const known = promotedByGraph.get(definition);
  if (known !== undefined) return known;
  const panel = panelId(definition, "inputNode", INPUT_PANEL);
  const found = new Map<number, InnerWidget>();
  for (const [node, record] of definition.nodes.byId) {
    for (const input of inputsOf(record)) {
      const widget = inputWidget(input);
      const link = definition.links.byId.get(inputLink(input) ?? "");
      if (widget !== null && link?.origin === panel && !found.has(link.originSlot)) {
        found.set(link.originSlot, { node, widget });
      }
    }
  }
  const sorted = new Map([...found].sort(([a], [b]) => a - b));
  promotedByGraph.set(definition, sorted);
  return sorted;
}

export function panelId(graph: GraphState, key: "inputNode" | "outputNode", fallback: NodeId): NodeId {
  const panel = graph.rest[key];
  return (isObject(panel) ? idText(panel.id) : null) ?? fallback;
}

/** The inputs or outputs a definition declares; entries that are no objects count as empty ones. */
export function definitionSockets(graph: GraphState, key: "inputs" | "outputs"): readonly JsonObject[] {
  const list = graph.rest[key];
  return isArray(list) ? list.map((item) => (isObject(item) ? item : {})) : [];
}

/** What an instance shows: one value for each entry of `proxyWidgets`, or for each promoted input. */
function instanceWidgets(context: WidgetContext, node: NodeRecord): readonly WidgetView[] {
  const definition = context.document.graphs.get(typeOf(node)) as GraphState;
  const inputs = definitionSockets(definition, "inputs");
  const promoted = promotedInputs(definition);
  const values = node.widgets_values;
  const view = (index: number, name: string, inner: InnerWidget | undefined): WidgetView => {
    const below = inner === undefined ? undefined : innerView(context, definition, inner);
    const own = isArray(values) ? values[index] : isObject(values) ? values[name] : undefined;
    return {
      ...socketFacts(node, name),
      spec: below?.spec ?? null,
      value: own !== undefined ? own : below?.value,
      control: null,
      place: { kind: "at", index },
    };
  };
  const proxies = propertiesOf(node).proxyWidgets;
  if (isArray(proxies) && proxies.length > 0 && !isObject(values)) {
    return proxies.flatMap((proxy, index) => {
      if (!isArray(proxy) || typeof proxy[1] !== "string") return [];
      const inner = idText(proxy[0]);
      if (inner !== "-1") return inner === null ? [] : [view(index, proxy[1], { node: inner, widget: proxy[1] })];
      const position = inputs.findIndex((item) => item.name === proxy[1]);
      return [view(index, proxy[1], promoted.get(position))];
    });
  }
  return [...promoted].map(([position, inner], index) => {
    const name = inputs[position]?.name;
    return view(index, typeof name === "string" ? name : inner.widget, inner);
  });
}

const MAX_NESTING = 64;

function innerView(
  context: WidgetContext, definition: GraphState, inner: InnerWidget, depth = 0,
): { spec: InputSpec | null; value: Json | undefined } | undefined {
  const node = definition.nodes.byId.get(inner.node);
  if (node === undefined || depth > MAX_NESTING) return undefined;
  const next = context.document.graphs.get(typeOf(node));
  if (next === undefined || typeOf(node) === "") {
    return widgetsOf(context, definition, node).find((item) => item.name === inner.widget);
  }
  const at = definitionSockets(next, "inputs").findIndex((item) => item.name === inner.widget);
  const promoted = promotedInputs(next);
  const deeper = promoted.get(at);
  const below = deeper === undefined ? undefined : innerView(context, next, deeper, depth + 1);
  const values = node.widgets_values;
  const own = isArray(values) ? values[[...promoted.keys()].indexOf(at)] : undefined;
  return own === undefined ? below : { spec: below?.spec ?? null, value: own };
}

/** The graph an instance opens; null for other nodes. */
export function definitionOf(document: WorkflowDocument, node: NodeRecord): GraphId | null {
  return isInstance(node, document) ? typeOf(node) : null;
}
