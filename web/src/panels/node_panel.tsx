/** All node types by category, and those a text finds. A click or a drag adds one. */

import { useMemo, useState } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import type { NodeSpec } from "../model/catalog";
import { addFound, NODE_DRAG, ownTitles, readUses } from "../search/adding";
import { NodeSearch } from "../search/ranking";
import { useSay } from "../i18n/catalogue";
import { Empty, FIELD } from "../ui/parts";
import { Blueprints } from "./blueprints";

interface Branch {
  readonly name: string;
  readonly branches: Map<string, Branch>;
  readonly specs: NodeSpec[];
}

export default function NodePanel({ session, onClose }: { session: Session; onClose: () => void }) {
  const say = useSay();
  const catalog = useStore(session.store, (state) => state.catalog);
  const [text, setText] = useState("");
  const search = useMemo(() => new NodeSearch(catalog, ownTitles(say)), [catalog, say]);
  const tree = useMemo(() => treeOf([...catalog.specs.values()], say("nodes.other")), [catalog, say]);
  const added = () => void (!matchMedia("(min-width: 48rem)").matches && onClose());
  const add = (type: string) => {
    void addFound(session, type, { at: session.desk?.middle() ?? { x: 0, y: 0 }, screen: { x: 0, y: 0 } });
    added();
  };
  const found = text.trim() === "" ? null : search.find(text, null, readUses());
  return (
    <div className="flex flex-col gap-1 p-2">
      <input
        type="search" className={FIELD} value={text} placeholder={say("nodes.filter")} aria-label={say("nodes.filter")}
        onChange={(event) => setText(event.target.value)}
      />
      {found === null && <Blueprints session={session} onInserted={added} />}
      {found === null
        ? [...tree.branches.values()].map((branch) => <BranchView key={branch.name} branch={branch} onAdd={add} />)
        : found.length === 0
          ? <Empty>{say("nodes.none")}</Empty>
          : found.map((item) => <Leaf key={item.name} name={item.name} title={item.title} hint={item.category} onAdd={add} />)}
    </div>
  );
}

function treeOf(specs: readonly NodeSpec[], other: string): Branch {
  const root: Branch = { name: "", branches: new Map(), specs: [] };
  for (const spec of specs.toSorted((one, two) => (one.title < two.title ? -1 : 1))) {
    if (spec.is_deprecated) continue;
    let branch = root;
    for (const part of (spec.category || other).split("/")) {
      const next: Branch = branch.branches.get(part) ?? { name: part, branches: new Map(), specs: [] };
      branch.branches.set(part, next);
      branch = next;
    }
    branch.specs.push(spec);
  }
  return root;
}

function BranchView({ branch, onAdd }: { branch: Branch; onAdd: (type: string) => void }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="cursor-default rounded-md px-2 py-1 hover:bg-raised">{branch.name}</summary>
      {isOpen && (
        <div className="ml-3 border-l border-line pl-1">
          {[...branch.branches.values()].map((inner) => <BranchView key={inner.name} branch={inner} onAdd={onAdd} />)}
          {branch.specs.map((spec) => <Leaf key={spec.name} name={spec.name} title={spec.title || spec.name} hint="" onAdd={onAdd} />)}
        </div>
      )}
    </details>
  );
}

function Leaf({ name, title, hint, onAdd }: { name: string; title: string; hint: string; onAdd: (type: string) => void }) {
  return (
    <button
      type="button" draggable title={name} onClick={() => onAdd(name)}
      onDragStart={(event) => event.dataTransfer.setData(NODE_DRAG, name)}
      className="block w-full truncate rounded-md px-2 py-1 text-left hover:bg-raised"
    >
      {title}{hint !== "" && <span className="block truncate text-xs text-quiet">{hint}</span>}
    </button>
  );
}
