/** Node types for a text, and for the end of a link: what fits, best first. */

import MiniSearch from "minisearch";
import { visibleInputs, type Catalog, type NodeSpec } from "../model/catalog";
import { fitness } from "../model/socket_types";

/** The end of a link that waits: its type, and which side it is on. */
export interface Wanted {
  readonly side: "input" | "output";
  readonly type: string;
}

/** Built into the editor; the server does not list them. Their titles are English ones, people see those of their language. */
export const EDITOR_NODES: readonly { readonly name: string; readonly title: string }[] = [
  { name: "Note", title: "Note" }, { name: "MarkdownNote", title: "Markdown note" },
  { name: "PrimitiveNode", title: "Primitive" },
];

export interface Found {
  readonly name: string;
  readonly title: string;
  readonly category: string;
  readonly isOld: boolean;
}

interface Entry extends Found {
  readonly id: string;
  readonly aliases: string;
  readonly description: string;
  readonly spec: NodeSpec | null;
}

export class NodeSearch {
  private readonly index: MiniSearch<Entry>;
  private readonly entries: ReadonlyMap<string, Entry>;

  /** `titles` are those of the editor's own nodes by type, in the language of the page. */
  constructor(catalog: Catalog, titles: Readonly<Record<string, string>> = {}) {
    const known = Array.from(catalog.specs.values(), (spec): Entry => ({
      id: spec.name, name: spec.name, title: spec.title || spec.name, category: spec.category,
      aliases: spec.search_aliases.join(" "), description: spec.description, isOld: spec.is_deprecated, spec,
    }));
    const own = EDITOR_NODES.map((item): Entry => ({
      ...item, title: titles[item.name] ?? item.title, id: item.name, category: "", aliases: item.title, description: "", isOld: false, spec: null,
    }));
    this.entries = new Map([...known, ...own].map((entry) => [entry.id, entry]));
    this.index = new MiniSearch<Entry>({
      fields: ["title", "name", "aliases", "category", "description"],
      // "CLIPTextEncode" is found by "text encode" as well.
      tokenize: (text) => text.replace(/([a-z0-9])([A-Z])/g, "$1 $2").split(/[\s/_()\-.,:]+/).filter(Boolean),
      searchOptions: {
        prefix: true, fuzzy: (term) => (term.length > 4 ? 0.2 : false), combineWith: "AND",
        boost: { title: 6, name: 4, aliases: 4, category: 1.5, description: 0.4 },
      },
    });
    this.index.addAll([...this.entries.values()]);
  }

  /** `uses` says how often a type was chosen here before. */
  find(text: string, wanted: Wanted | null, uses: Readonly<Record<string, number>>, limit = 60): readonly Found[] {
    const query = text.trim();
    const scored = query === ""
      ? Array.from(this.entries.values(), (entry) => ({ entry, score: 1 }))
      : this.index.search(query).flatMap(({ id, score }) => {
          const entry = this.entries.get(id as string);
          return entry === undefined ? [] : [{ entry, score: score * nearness(entry, query) }];
        });
    return scored
      .flatMap(({ entry, score }) => {
        const fit = wanted === null ? 3 : fitOf(entry.spec, wanted);
        const habit = 1 + Math.log2(1 + (uses[entry.name] ?? 0)) / 4;
        return fit === 0 ? [] : [{ entry, score: score * [0, 0.3, 0.8, 1][fit]! * habit * (entry.isOld ? 0.2 : 1) }];
      })
      .sort((one, other) => other.score - one.score || (one.entry.title < other.entry.title ? -1 : 1))
      .slice(0, limit)
      .map(({ entry }) => entry);
  }
}

function nearness({ title, name }: Found, query: string): number {
  const wanted = query.toLowerCase();
  const names = [title.toLowerCase(), name.toLowerCase()];
  if (names.includes(wanted)) return 8;
  return names.some((each) => each.startsWith(wanted)) ? 2.5 : 1;
}

function fitOf(spec: NodeSpec | null, wanted: Wanted): number {
  if (spec === null) return 0;
  // A link that comes from an output needs an input.
  const fits = wanted.side === "output"
    ? visibleInputs(spec).filter((item) => item.options.socketless === undefined).map((item) => fitness(wanted.type, item.type))
    : spec.outputs.map((item) => fitness(item.type, wanted.type));
  return Math.max(0, ...fits);
}
