/** Group nodes, the forerunner of subgraphs: an entry of `extra.groupNodes` as a subgraph record. */

import { isArray, isObject, type Json, type JsonObject } from "../json";

/** The name of the group an instance's type refers to; null for other types. */
export function groupName(type: string): string | null {
  return type.startsWith("workflow>") || type.startsWith("workflow/") ? type.slice("workflow>".length) : null;
}

type Inner = { id: number; inputs: Record<string, Json | undefined>[]; [key: string]: unknown };

/** A group as (subgraph record, instance record). `numEntries`: how many widget values a plain node has. */
export function groupGraph(
  group: JsonObject, instance: JsonObject, numEntries: (node: JsonObject) => number,
): readonly [JsonObject, JsonObject] {
  const nodes = innerNodes(group);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const { links, sources, fed } = innerLinks(group, byId);
  const inputs = panelInputs(nodes, fed, links);
  panelOutputs(nodes, sources, group, links);
  spreadValues(nodes, instance, numEntries);
  // Instance inputs stand in the order of the open inner inputs; names may carry a title in front.
  const given = isArray(instance.inputs) ? instance.inputs : [];
  inputs.forEach((item, i) => {
    const outer = given[i];
    if (isObject(outer) && typeof outer.name === "string") item.name = outer.name;
  });
  return [{ nodes: nodes as unknown as Json, links, inputs }, { ...instance, widgets_values: null }];
}

function innerNodes(group: JsonObject): Inner[] {
  return (isArray(group.nodes) ? group.nodes : []).flatMap((node, position) => {
    if (!isObject(node)) return [];
    const inputs = (isArray(node.inputs) ? node.inputs : []).filter(isObject).map((item) => ({ ...item, link: null }));
    return [{ ...node, id: isInteger(node.index) ? node.index : position, inputs }];
  });
}

function isInteger(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value);
}

function innerLinks(group: JsonObject, nodes: ReadonlyMap<number, Inner>) {
  const links: JsonObject[] = [];
  const sources = new Set<string>();
  const fed = new Set<string>();
  for (const link of isArray(group.links) ? group.links : []) {
    if (!isArray(link) || link.length < 4 || !link.slice(0, 4).every(isInteger)) continue;
    const [origin, slot, target, targetSlot] = link as readonly number[] as [number, number, number, number];
    const input = nodes.get(target)?.inputs[targetSlot];
    if (!nodes.has(origin) || input === undefined) continue;
    const id = links.length + 1;
    links.push({ id, origin_id: origin, origin_slot: slot, target_id: target });
    input.link = id;
    sources.add(`${origin} ${slot}`);
    fed.add(`${target} ${targetSlot}`);
  }
  return { links, sources, fed };
}

/** Wire every open inner input to a panel input of its own. */
function panelInputs(nodes: readonly Inner[], fed: ReadonlySet<string>, links: JsonObject[]) {
  const inputs: { name: Json; type: Json }[] = [];
  for (const node of nodes) {
    node.inputs.forEach((item, slot) => {
      if (fed.has(`${node.id} ${slot}`)) return;
      const id = links.length + 1;
      links.push({ id, origin_id: -10, origin_slot: inputs.length, target_id: node.id });
      item.link = id;
      inputs.push({ name: item.name ?? null, type: item.type ?? null });
    });
  }
  return inputs;
}

/** Wire the inner outputs that are free, or listed as external, to the output panel. */
function panelOutputs(
  nodes: readonly Inner[], sources: ReadonlySet<string>, group: JsonObject, links: JsonObject[],
): void {
  const external = new Set(
    (isArray(group.external) ? group.external : []).flatMap((item) =>
      isArray(item) && isInteger(item[0]) && isInteger(item[1]) ? [`${item[0]} ${item[1]}`] : [],
    ),
  );
  let position = 0;
  for (const node of nodes) {
    const outputs = isArray(node.outputs) ? node.outputs : [];
    for (let slot = 0; slot < outputs.length; slot++) {
      const key = `${node.id} ${slot}`;
      if (sources.has(key) && !external.has(key)) continue;
      links.push({
        id: links.length + 1, origin_id: node.id, origin_slot: slot, target_id: -20, target_slot: position,
      });
      position += 1;
    }
  }
}

function spreadValues(nodes: readonly Inner[], instance: JsonObject, numEntries: (node: JsonObject) => number): void {
  if (!isArray(instance.widgets_values)) return;
  let start = 0;
  for (const node of nodes) {
    const count = numEntries(node as unknown as JsonObject);
    const own = instance.widgets_values.slice(start, start + count);
    if (own.length > 0) node.widgets_values = own;
    start += count;
  }
}
