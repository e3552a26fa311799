/** The workflow as a tree of text: every node, link and problem, for the keyboard and for screen readers. */

import { ChevronRight } from "lucide-react";
import { memo, useCallback, useDeferredValue, useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { showPath } from "../app/showing";
import { useSay, type Say } from "../i18n/catalogue";
import type { OpenDocument } from "../model/open_document";
import { outlineOf, type OutlineItem } from "../model/outline";
import { typeOf } from "../model/node_reading";
import { ROOT, type NodeId } from "../model/records";
import { selectionOf } from "../model/selection";
import { useDocument } from "../ui/hooks";
import { Empty } from "../ui/parts";

interface Row {
  readonly item: OutlineItem;
  readonly level: number;
  readonly at: number;
  readonly of: number;
  readonly parent: string | null;
  /** null where there is nothing below it. */
  readonly isOpen: boolean | null;
}

const TYPED_MS = 700;

export default function OutlinePanel({ session }: { session: Session }) {
  const say = useSay();
  const open = useDocument(useStore(session.store, (state) => state.open));
  const { catalog, problems } = useStore(session.store);
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set(["faults"]));
  const [active, setActive] = useState<string | null>(null);
  const tree = useRef<HTMLDivElement>(null);
  // Rows that did not change are not made anew: what they call stays the same, what it does is the newest.
  const pressed = useRef<Press>(() => undefined);
  const press = useCallback<Press>((name, part) => pressed.current(name, part), []);
  const typed = useRef({ text: "", atMs: 0 });
  // Typing goes first: the tree of a large graph may be a moment behind.
  const document = useDeferredValue(open.document);
  const items = useMemo(() => outlineOf(document, catalog, problems.filter((item) => item.document === open).map((item) => ({
    path: item.node, message: item.message, remedy: item.remedy, input: item.input,
  }))), [document, catalog, problems, open]);
  const rows = useMemo(() => rowsOf(items, opened), [items, opened]);
  const lastAt = useRef(0);
  const found = rows.findIndex((row) => row.item.key === active);
  const at = found >= 0 ? found : Math.min(lastAt.current, rows.length - 1);
  useEffect(() => void (found >= 0 && (lastAt.current = found)), [found]);
  const selected = selectedRow(open, rows);
  useEffect(() => {
    // What is chosen on the canvas is shown here, unless somebody is at work in the tree.
    if (selected === null || tree.current?.contains(window.document.activeElement)) return;
    setActive(selected);
    rowElement(tree.current, selected)?.scrollIntoView({ block: "nearest" });
  }, [selected]);
  if (rows.length === 0) return <Empty>{say("outline.empty")}</Empty>;
  const focus = (row: Row | undefined) => {
    if (row === undefined) return;
    setActive(row.item.key);
    requestAnimationFrame(() => rowElement(tree.current, row.item.key)?.focus());
  };
  const setOpen = (key: string, isOpen: boolean) => setOpened((now) => {
    const next = new Set(now);
    if (isOpen) next.add(key);
    else next.delete(key);
    return next;
  });
  const choose = (row: Row) => {
    const target = targetOf(row.item);
    if (row.item.kind === "faults") setOpen(row.item.key, row.isOpen === false);
    if (target === null) return;
    showPath(session, [...row.item.way, target]);
    const key = `node ${[...row.item.way, target].join(":")}`;
    focus(rows.find((each) => each.item.key === key && row.item.kind !== "node") ?? row);
  };
  const key = (event: KeyboardEvent) => {
    const row = rows[at];
    if (row === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const handled = keyOn(event.key, row);
    if (!handled) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const keyOn = (name: string, row: Row): boolean => {
    switch (name) {
      case "ArrowDown": focus(rows[at + 1]); return true;
      case "ArrowUp": focus(rows[at - 1]); return true;
      case "Home": focus(rows[0]); return true;
      case "End": focus(rows.at(-1)); return true;
      case "ArrowRight":
        if (row.isOpen === false) setOpen(row.item.key, true);
        else if (row.isOpen) focus(rows[at + 1]);
        return true;
      case "ArrowLeft":
        if (row.isOpen) setOpen(row.item.key, false);
        else focus(rows.find((each) => each.item.key === row.parent));
        return true;
      case "Enter": choose(row); return true;
      case " ": selectOnly(open, row.item); return true;
      default: return name.length === 1 && typeAhead(name);
    }
  };
  const typeAhead = (letter: string): boolean => {
    const now = performance.now();
    const text = (now - typed.current.atMs < TYPED_MS ? typed.current.text : "") + letter.toLowerCase();
    typed.current = { text, atMs: now };
    const order = [...rows.slice(at + (text.length === 1 ? 1 : 0)), ...rows];
    focus(order.find((row) => textOf(row.item, say).toLowerCase().startsWith(text)));
    return true;
  };
  pressed.current = (name, part) => {
    const row = rows.find((each) => each.item.key === name);
    if (row === undefined) return;
    if (part === "sign") return setOpen(name, row.isOpen === false);
    setActive(name);
    choose(row);
  };
  return (
    <div ref={tree} role="tree" tabIndex={-1} aria-label={say("outline.title")} aria-multiselectable className="p-1 outline-none" onKeyDown={key}>
      {rows.map((row, i) => (
        <RowView
          key={row.item.key} name={row.item.key} kind={row.item.kind} text={textOf(row.item, say)} detail={detailOf(row.item, say)}
          level={row.level} at={row.at} of={row.of} isOpen={row.isOpen} isWrong={isWrong(row.item)} isActive={i === at}
          isSelected={isSelected(open, row.item)} onPress={press}
        />
      ))}
    </div>
  );
}

type Press = (name: string, part: "row" | "sign") => void;

interface RowProps {
  readonly name: string;
  readonly kind: OutlineItem["kind"];
  readonly text: string;
  readonly detail: string;
  readonly level: number;
  readonly at: number;
  readonly of: number;
  readonly isOpen: boolean | null;
  readonly isWrong: boolean;
  readonly isActive: boolean;
  readonly isSelected: boolean;
  readonly onPress: Press;
}

const RowView = memo(function RowView(row: RowProps) {
  const { name, kind, level, isOpen, onPress } = row;
  return (
    <div
      role="treeitem" data-key={name} tabIndex={row.isActive ? 0 : -1} aria-level={level} aria-posinset={row.at} aria-setsize={row.of}
      aria-expanded={isOpen ?? undefined} aria-selected={row.isSelected} onClick={() => onPress(name, "row")}
      style={{ paddingLeft: `${(level - 1) * 14 + 4}px`, contentVisibility: "auto", containIntrinsicSize: "auto 1.75rem" }}
      className="flex min-h-7 cursor-default items-center gap-1 rounded-md pr-2 hover:bg-raised focus-visible:outline-offset-[-2px] aria-selected:bg-raised aria-selected:text-accent"
    >
      <span
        aria-hidden className="flex size-4 shrink-0 items-center justify-center text-quiet"
        onClick={(event) => { event.stopPropagation(); onPress(name, "sign"); }}
      >
        {isOpen !== null && <ChevronRight size={13} className={isOpen ? "rotate-90" : ""} />}
      </span>
      <span className={`min-w-0 flex-1 ${kind === "fault" ? "py-1 break-words" : "truncate"} ${row.isWrong ? "text-danger" : ""}`}>
        {row.text}{row.detail !== "" && <span className="ml-1.5 text-xs text-quiet">{row.detail}</span>}
      </span>
    </div>
  );
});

function rowsOf(items: readonly OutlineItem[], opened: ReadonlySet<string>): readonly Row[] {
  const rows: Row[] = [];
  const walk = (list: readonly OutlineItem[], level: number, parent: string | null) => list.forEach((item, i) => {
    const isOpen = opened.has(item.key);
    const below = isOpen || item.kind === "node" || item.kind === "faults" ? item.children() : [];
    rows.push({ item, level, at: i + 1, of: list.length, parent, isOpen: below.length === 0 ? null : isOpen });
    if (isOpen) walk(below, level + 1, item.key);
  });
  walk(items, 1, null);
  return rows;
}

function rowElement(tree: HTMLElement | null, key: string): HTMLElement | null {
  return tree?.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`) ?? null;
}

/** The node a row leads to: itself, or the other end of a link. */
function targetOf(item: OutlineItem): NodeId | null {
  if ("other" in item) return item.other;
  return "node" in item ? item.node : null;
}

function isHere(open: OpenDocument, way: readonly NodeId[]): boolean {
  let graph = open.document.graphs.get(ROOT);
  for (const id of way) {
    const node = graph?.nodes.byId.get(id);
    graph = node === undefined ? undefined : open.document.graphs.get(typeOf(node));
  }
  return graph?.id === open.graph.id;
}

function isSelected(open: OpenDocument, item: OutlineItem): boolean {
  const { nodes, links } = open.selection;
  if (nodes.size + links.size === 0 || !isHere(open, item.way)) return false;
  if (item.kind === "node" || item.kind === "note") return nodes.has(item.node);
  return (item.kind === "source" || item.kind === "target") && links.has(item.link);
}

/** Marks a node or link of the shown graph, without going anywhere. */
function selectOnly(open: OpenDocument, item: OutlineItem): void {
  if (!isHere(open, item.way)) return;
  const { nodes } = open.selection;
  if (item.kind === "source" || item.kind === "target") return open.select(selectionOf({ links: [item.link] }));
  if (item.kind !== "node" && item.kind !== "note") return;
  const next = nodes.has(item.node) ? [...nodes].filter((id) => id !== item.node) : [...nodes, item.node];
  open.select(selectionOf({ nodes: next }));
}

function selectedRow(open: OpenDocument, rows: readonly Row[]): string | null {
  if (open.selection.nodes.size !== 1) return null;
  return rows.find((row) => row.item.kind !== "fault" && isSelected(open, row.item))?.item.key ?? null;
}

function isWrong(item: OutlineItem): boolean {
  return item.kind === "faults" || item.kind === "fault" || (item.kind === "node" && (item.numFaults > 0 || !item.isKnown));
}

function textOf(item: OutlineItem, say: Say): string {
  switch (item.kind) {
    case "faults": return say("status.problems", { count: item.count });
    case "fault": return [item.title, item.fault.input, item.fault.message, item.fault.remedy].filter(Boolean).join(" · ");
    case "node": case "note": return item.title;
    case "source": return say("outline.from", { socket: item.socket, node: item.otherTitle || say("outline.outside"), other: item.otherSocket });
    case "target": return say("outline.to", { socket: item.socket, node: item.otherTitle || say("outline.outside"), other: item.otherSocket });
    case "open": return say("outline.open", { socket: item.socket });
  }
}

function detailOf(item: OutlineItem, say: Say): string {
  if (item.kind === "note") return item.text.slice(0, 80);
  if (item.kind === "open") return item.type;
  if (item.kind !== "node") return "";
  return [
    `#${item.node}`, item.mode === "always" ? "" : say(`properties.${item.mode}`),
    item.isKnown ? "" : say("outline.unknown"), item.numFaults === 0 ? "" : say("status.problems", { count: item.numFaults }),
  ].filter(Boolean).join(", ");
}
