/** Workflow → prompt, by the rules of docs/workflow-format.md, section 3: the same as the server's own compiler. */

import type { Catalog, FileLister, NodeSpec } from "../catalog";
import { isArray, isObject, type Json, type JsonObject } from "../json";
import { inputLink, inputsOf, inputWidget, typeOf } from "../node_reading";
import { EDITOR_TYPES, INPUT_PANEL, MODE, type NodeId, type NodeRecord, type WorkflowDocument } from "../records";
import { socketType } from "../socket_types";
import { planOf, readValues } from "../widget_plan";
import { saveWorkflow } from "../workflow_file";
import { chooseAlternatives, replaceTokens, stripComments } from "./editor_text";
import { findSource, REMOVED, type Source } from "./link_sources";
import { CompileError, instanceLink, overrideKey, unfold, type Scope } from "./scopes";

export interface PromptNode {
  readonly class_type: string;
  readonly inputs: { readonly [name: string]: Json };
  readonly _meta: { readonly title: string };
}
/** API JSON: nodes by id; ids inside subgraphs are "instance:node". */
export type Prompt = { readonly [id: string]: PromptNode };

export interface CompileOptions {
  readonly catalog: Catalog;
  readonly listFiles: FileLister;
  /** Picks among `{a|b}` alternatives: numbers from 0 to below 1. */
  readonly random: () => number;
  /** Local time for `%date:…%`. */
  readonly now: Date;
}

const NOT_SUBSTITUTED = new Set(["CheckpointSave"]);
const MAX_TEXT = 1_000_000;

/** Raises CompileError when the document contradicts itself. Nodes of unknown types are kept for the server to name. */
export function compileWorkflow(document: WorkflowDocument, options: CompileOptions): Prompt {
  return new Compiler(saveWorkflow(document, 1), options).run();
}

interface Inputs {
  readonly values: Map<string, Json>;
  /** Widgets whose text is used as it is. */
  readonly untouched: Set<string>;
}

class Compiler {
  private readonly scopes: readonly Scope[];
  private readonly options: CompileOptions;
  private readonly known = new Map<Scope, Map<NodeId, ReadonlyMap<string, Json>>>();
  private readonly names = new Map<Scope, ReadonlyMap<string, NodeId>>();

  constructor(document: JsonObject, options: CompileOptions) {
    this.options = options;
    this.scopes = unfold(document, (node) => this.numEntries(node as NodeRecord));
  }

  run(): Prompt {
    const made = new Map<string, { node: PromptNode; links: ReadonlyMap<string, Source> }>();
    for (const scope of this.scopes) {
      for (const [id, node] of scope.index.nodes) {
        const isOff = node.mode === MODE.muted || node.mode === MODE.bypassed;
        if (isOff || EDITOR_TYPES.has(typeOf(node)) || scope.children.has(id)) continue;
        made.set(scope.prefix + id, this.node(scope, id, node));
      }
    }
    const prompt: Record<string, PromptNode> = {};
    for (const [id, { node, links }] of made) {
      const inputs: Record<string, Json> = { ...node.inputs };
      for (const [name, source] of links) if (made.has(source.node)) inputs[name] = [source.node, source.slot];
      prompt[id] = { ...node, inputs };
    }
    return prompt;
  }

  private node(scope: Scope, id: NodeId, record: NodeRecord) {
    const type = typeOf(record);
    const spec = this.options.catalog.get(type);
    const inputs: Inputs = { values: new Map(this.values(scope, id, record)), untouched: new Set() };
    const links = new Map<string, Source>();
    const gone = new Set<string>();
    for (const item of inputsOf(record)) {
      const link = inputLink(item);
      if (link === null || typeof item.name !== "string") continue;
      const source = findSource(scope, link, socketType(item));
      gone.delete(item.name);
      links.delete(item.name);
      if (source === REMOVED) gone.add(item.name);
      else if (source !== null) links.set(item.name, source);
      else this.applyUnlinked(scope, link, inputWidget(item), inputs);
    }
    if (spec !== undefined) this.processTexts(scope, spec, inputs);
    const values: Record<string, Json> = {};
    for (const [name, value] of inputs.values) {
      if (!gone.has(name) && !links.has(name)) values[name] = isArray(value) ? { __value__: value } : value;
    }
    const own = typeof record.title === "string" && record.title !== "" ? record.title : null;
    const title = own ?? (spec?.title || type);
    return { node: { class_type: type, inputs: values, _meta: { title } }, links };
  }

  /** A link without a source: a primitive, or a promoted widget, may give the widget its value. */
  private applyUnlinked(scope: Scope, linkId: string, widget: string | null, inputs: Inputs): void {
    const link = scope.index.links.get(linkId);
    if (link === undefined || widget === null || !inputs.values.has(widget)) return;
    if (link.origin === INPUT_PANEL) {
      const value = promotedValue(scope, link.slot);
      if (value !== undefined) inputs.values.set(widget, value);
      return;
    }
    const source = scope.index.nodes.get(link.origin);
    if (source?.type !== "PrimitiveNode" || link.slot !== 0) return;
    const values = source.widgets_values;
    const value = isArray(values) ? values[0] : undefined;
    if (value === undefined) return;
    inputs.values.set(widget, value);
    if (!isObject(source.properties) || !source.properties["Run widget replace on values"]) inputs.untouched.add(widget);
    else if (typeof value === "string") inputs.values.set(widget, this.substituted(scope, value));
  }

  private numEntries(node: NodeRecord): number {
    const spec = this.options.catalog.get(typeOf(node));
    if (spec !== undefined) return planOf(spec).entries.length + planOf(spec).numTrailing;
    return isArray(node.widgets_values) ? node.widgets_values.length : 0;
  }

  /** The node's own values by widget name, with what its instance overrides; text as it was typed. */
  private values(scope: Scope, id: NodeId, record: NodeRecord): ReadonlyMap<string, Json> {
    let ofScope = this.known.get(scope);
    if (ofScope === undefined) this.known.set(scope, (ofScope = new Map()));
    const cached = ofScope.get(id);
    if (cached !== undefined) return cached;
    const spec = this.options.catalog.get(typeOf(record));
    const values = record.widgets_values;
    const found = spec === undefined ? plainValues(values) : readValues(planOf(spec), values, this.options.listFiles);
    for (const name of scope.overrides.size > 0 ? [...found.keys()] : []) {
      const given = scope.overrides.get(overrideKey(id, name));
      if (given !== undefined) found.set(name, given);
    }
    ofScope.set(id, found);
    return found;
  }

  private processTexts(scope: Scope, spec: NodeSpec, inputs: Inputs): void {
    for (const item of planOf(spec).processed) {
      const value = inputs.values.get(item.name);
      if (inputs.untouched.has(item.name) || typeof value !== "string") continue;
      if (item.options.dynamicPrompts) {
        if (value.length > MAX_TEXT) {
          const facts = `${value.length} characters; at most ${MAX_TEXT} can be worked on`;
          throw new CompileError("text_too_long", `The text of ${item.name} has ${facts}.`);
        }
        inputs.values.set(item.name, chooseAlternatives(stripComments(value), this.options.random));
      }
      if (item.name === "filename_prefix" && spec.is_output_node && !NOT_SUBSTITUTED.has(spec.name)) {
        inputs.values.set(item.name, this.substituted(scope, value));
      }
    }
  }

  private substituted(scope: Scope, text: string): string {
    if (!text.includes("%")) return text;
    return replaceTokens(text, this.options.now, (node, widget) => this.namedValue(scope, node, widget));
  }

  /** The value of a widget of the first node called `name`, in this graph or the ones around it. */
  private namedValue(scope: Scope | null, name: string, widget: string): Json | undefined {
    for (let at = scope; at !== null; at = at.parent) {
      let names = this.names.get(at);
      if (names === undefined) this.names.set(at, (names = namesOf(at, this.options.catalog)));
      const id = names.get(name);
      const node = id === undefined ? undefined : at.index.nodes.get(id);
      if (id !== undefined && node !== undefined) return this.values(at, id, node).get(widget) ?? undefined;
    }
    return undefined;
  }
}

function plainValues(values: Json | undefined): Map<string, Json> {
  const entries = isObject(values) ? Object.entries(values) : [];
  return new Map(entries.filter((entry): entry is [string, Json] => entry[0] !== "" && entry[1] !== undefined));
}

/** The value an unlinked instance input gives to an inner widget: the outermost instance that has one decides. */
function promotedValue(start: Scope, position: number): Json | undefined {
  let value: Json | undefined;
  let at = position;
  for (let scope: Scope | null = start; scope !== null && scope.instance !== null; ) {
    value = scope.values.get(at) ?? value;
    const outer = instanceLink(scope, at);
    if (outer === null || scope.parent === null) return value;
    const link = scope.parent.index.links.get(outer);
    // Linked outside to something that gives no value (a primitive, a dangling reroute): the inner value counts.
    if (link === undefined || link.origin !== INPUT_PANEL) return undefined;
    [scope, at] = [scope.parent, link.slot];
  }
  return value;
}

/** Node ids by the names file name tokens use: the name for search and replace first, then the title. */
function namesOf(scope: Scope, catalog: Catalog): ReadonlyMap<string, NodeId> {
  const found = new Map<string, NodeId>();
  const titles = new Map<string, NodeId>();
  for (const [id, record] of scope.index.nodes) {
    const type = typeOf(record);
    const named = isObject(record.properties) ? record.properties["Node name for S&R"] : undefined;
    const name = typeof named === "string" && named !== "" ? named : type;
    if (!found.has(name)) found.set(name, id);
    const title = typeof record.title === "string" && record.title !== "" ? record.title : (catalog.get(type)?.title ?? "");
    if (!titles.has(title)) titles.set(title, id);
  }
  return new Map([...titles, ...found]);
}
