/** Everything by name: commands with their keys, workflows, nodes of the graph. */

import { Dialog } from "@base-ui/react/dialog";
import { Command } from "cmdk";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { BLUEPRINTS } from "../app/subgraph_commands";
import { useSay, type TextKey } from "../i18n/catalogue";
import { COMMANDS } from "../interaction/keymap";
import { isInstance, titleOf, typeOf } from "../model/node_reading";
import { keymapOf, preferences } from "../settings/preferences";

const ITEM = "flex cursor-default items-center justify-between gap-4 rounded-md px-2.5 py-1.5 data-[selected=true]:bg-raised";

export interface Extra {
  readonly text: string;
  readonly act: () => void;
}

export default function Palette({ session, extras, onClose }: { session: Session; extras: readonly Extra[]; onClose: () => void }) {
  const say = useSay();
  const keys = useStore(preferences, (state) => state.keys);
  const { workflows, open, catalog } = session.store.getState();
  const chords = new Map(Object.entries(keymapOf(keys)).map(([chord, name]) => [name, chord]));
  const choose = (act: () => void) => () => {
    onClose();
    act();
  };
  const group = "[&_[cmdk-group-heading]]:px-2.5 [&_[cmdk-group-heading]]:py-1.5 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-quiet";
  return (
    <Dialog.Root open onOpenChange={(isOpen) => !isOpen && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40 bg-black/40" />
        <Dialog.Popup className="fixed top-[12vh] left-1/2 z-50 w-[min(34rem,calc(100vw-1rem))] -translate-x-1/2 overflow-hidden rounded-xl border border-line bg-surface text-text shadow-2xl">
          <Dialog.Title className="sr-only">{say("palette.title")}</Dialog.Title>
          <Command label={say("palette.title")} loop>
            <Command.Input
              autoFocus placeholder={say("palette.placeholder")}
              className="w-full border-b border-line bg-transparent px-4 py-3 text-sm outline-none placeholder:text-quiet"
            />
            <Command.List className="max-h-[50vh] overflow-auto p-1">
              <Command.Empty className="p-4 text-center text-quiet">{say("palette.none")}</Command.Empty>
              <Command.Group heading={say("palette.commands")} className={group}>
                {extras.map((item) => <Command.Item key={item.text} className={ITEM} onSelect={choose(item.act)}>{item.text}</Command.Item>)}
                {COMMANDS.map((name) => (
                  <Command.Item key={name} value={`${say(`command.${name}` as TextKey)} ${name}`} className={ITEM} onSelect={choose(() => session.desk?.perform(name))}>
                    {say(`command.${name}` as TextKey)}<kbd className="font-sans text-xs text-quiet">{chords.get(name)}</kbd>
                  </Command.Item>
                ))}
              </Command.Group>
              <Command.Group heading={say("palette.nodes")} className={group}>
                {[...open.graph.nodes.byId].map(([id, node]) => (
                  <Command.Item key={id} value={`${titleOf(node, catalog, open.document)} #${id}`} keywords={[typeOf(node)]} className={ITEM} onSelect={choose(() => session.desk?.showNode(id))}>
                    <span className="min-w-0 flex-1 truncate">{titleOf(node, catalog, open.document)}</span>
                    {!isInstance(node, open.document) && <span className="max-w-1/2 truncate text-xs text-quiet">{typeOf(node)}</span>}
                    <span className="text-xs text-quiet">#{id}</span>
                  </Command.Item>
                ))}
              </Command.Group>
              <Command.Group heading={say("palette.files")} className={group}>
                {workflows.filter((item) => !item.name.startsWith(BLUEPRINTS)).map((item) => (
                  <Command.Item key={item.name} value={`workflow ${item.name}`} className={ITEM} onSelect={choose(() => void session.openSaved(item.name))}>{item.name}</Command.Item>
                ))}
              </Command.Group>
            </Command.List>
          </Command>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
