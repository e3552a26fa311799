/** Logo, tabs, and what runs the workflow. */

import { Menu } from "@base-ui/react/menu";
import { ChevronDown, Menu as MenuIcon, PanelRight, Play, Plus, Search, Square, X } from "lucide-react";
import { useRef, useState } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { nameOfTab, type Tab } from "../app/tab";
import { useSay } from "../i18n/catalogue";
import { cancelJob } from "../server/workflows";
import { useDocument } from "../ui/hooks";
import { IconButton } from "../ui/parts";
import { exportFile, exportPicture } from "./exporting";
import { WithForecast } from "./forecast";
import { openFiles } from "./opening";

export const MENU_POPUP =
  "min-w-48 rounded-lg border border-line bg-surface p-1 text-text shadow-xl outline-none";
export const MENU_ITEM =
  "flex cursor-default items-center justify-between gap-6 rounded-md px-2.5 py-1.5 outline-none select-none " +
  "data-highlighted:bg-raised data-disabled:opacity-40";

interface BarProps {
  readonly session: Session;
  readonly hasProperties: boolean;
  readonly onProperties: () => void;
  readonly onWindow: (name: "save" | "settings" | "versions" | "grid") => void;
}

export function TopBar({ session, hasProperties, onProperties, onWindow }: BarProps) {
  const say = useSay();
  return (
    <header className="flex h-11 shrink-0 items-center gap-1 border-b border-line bg-surface px-1.5">
      <MainMenu session={session} onWindow={onWindow} />
      <h1 className="mr-2 text-sm font-semibold tracking-wide max-md:sr-only">{say("app.name")}</h1>
      <Tabs session={session} />
      <IconButton label={say("bar.newTab")} onClick={() => session.newTab()}><Plus size={16} /></IconButton>
      <span className="flex-1" />
      <IconButton label={`${say("bar.palette")} (Ctrl+K)`} onClick={() => session.openPalette()}><Search size={16} /></IconButton>
      <RunButtons session={session} />
      <IconButton label={say("bar.properties")} aria-pressed={hasProperties} onClick={onProperties}>
        <PanelRight size={16} />
      </IconButton>
    </header>
  );
}

function MainMenu({ session, onWindow }: Pick<BarProps, "session" | "onWindow">) {
  const say = useSay();
  const picker = useRef<HTMLInputElement>(null);
  const item = (text: string, act: () => void, keys = "") => (
    <Menu.Item className={MENU_ITEM} onClick={act}>{text}<span className="text-quiet">{keys}</span></Menu.Item>
  );
  const { open, saved } = session.store.getState();
  const line = <Menu.Separator className="my-1 h-px bg-line" />;
  return (
    <>
      <Menu.Root>
        <Menu.Trigger render={<IconButton label={say("bar.menu")} />}><MenuIcon size={16} /></Menu.Trigger>
        <Menu.Portal>
          <Menu.Positioner sideOffset={4} align="start" className="z-50">
            <Menu.Popup className={MENU_POPUP}>
              {item(say("menu.open"), () => picker.current?.click())}
              {item(say("menu.save"), () => (saved === null ? onWindow("save") : void session.save(saved.name)), "Ctrl+S")}
              {item(say("menu.saveAs"), () => onWindow("save"))}
              {item(say("menu.versions"), () => onWindow("versions"))}
              {line}
              {item(say("menu.grid"), () => onWindow("grid"))}
              {line}
              {item(say("menu.export"), () => exportFile(session, "workflow"))}
              {item(say("menu.exportApi"), () => exportFile(session, "api"))}
              {item(say("menu.exportPng"), () => void exportPicture(session, "png"))}
              {item(say("menu.exportSvg"), () => void exportPicture(session, "svg"))}
              {line}
              {item(say("menu.undo"), () => void open.undo(), "Ctrl+Z")}
              {item(say("menu.redo"), () => void open.redo(), "Ctrl+Y")}
              {line}
              {item(say("bar.closeTab", { name: nameOf(session) || say("bar.untitled") }), () => session.closeTab(session.store.getState().active))}
              {item(say("menu.settings"), () => onWindow("settings"))}
            </Menu.Popup>
          </Menu.Positioner>
        </Menu.Portal>
      </Menu.Root>
      <input
        ref={picker} type="file" multiple hidden aria-label={say("menu.open")}
        accept=".json,.png,.webp,.svg,.latent,application/json,image/png,image/webp,image/svg+xml"
        onChange={(event) => {
          void openFiles(session, Array.from(event.target.files ?? []));
          event.target.value = "";
        }}
      />
    </>
  );
}

function nameOf(session: Session): string {
  const { tabs, active } = session.store.getState();
  return nameOfTab(tabs.find((tab) => tab.id === active));
}

function Tabs({ session }: { session: Session }) {
  const say = useSay();
  const tabs = useStore(session.store, (state) => state.tabs);
  const active = useStore(session.store, (state) => state.active);
  const move = (by: number) => {
    const at = tabs.findIndex((tab) => tab.id === active);
    const next = tabs[(at + by + tabs.length) % tabs.length];
    if (next === undefined) return;
    session.switchTo(next.id);
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return (
    <div
      role="tablist" aria-label={say("bar.tabs")} className="flex min-w-0 items-end gap-0.5 self-stretch overflow-x-auto pt-1.5 [scrollbar-width:none]"
      onKeyDown={(event) => {
        if (event.key === "ArrowRight") move(1);
        else if (event.key === "ArrowLeft") move(-1);
        else if (event.key === "Delete") session.closeTab(active);
        else return;
        event.stopPropagation();
        event.preventDefault();
      }}
    >
      {tabs.map((tab) => <TabItem key={tab.id} session={session} tab={tab} isActive={tab.id === active} />)}
    </div>
  );
}

function TabItem({ session, tab, isActive }: { session: Session; tab: Tab; isActive: boolean }) {
  const say = useSay();
  const { isChanged } = useDocument(tab.open);
  const name = nameOfTab(tab) || say("bar.untitled");
  return (
    <div
      role="presentation"
      className={`flex h-full shrink-0 items-center rounded-t-md border border-b-0 ${isActive ? "border-line bg-canvas" : "border-transparent text-quiet hover:text-text"}`}
      onAuxClick={(event) => event.button === 1 && session.closeTab(tab.id)}
    >
      <button
        type="button" role="tab" id={`tab-${tab.id}`} aria-selected={isActive} aria-keyshortcuts="Delete" tabIndex={isActive ? 0 : -1}
        className="h-full max-w-44 truncate pl-3 pr-1" onClick={() => session.switchTo(tab.id)}
      >
        {name.split("/").at(-1)}
        {isChanged && <span aria-label={say("bar.changed")} title={say("bar.changed")} className="ml-1.5 text-accent">●</span>}
      </button>
      <button
        type="button" tabIndex={-1} aria-hidden title={say("bar.closeTab", { name })}
        className="mr-1 rounded p-0.5 text-quiet hover:bg-raised hover:text-text" onClick={() => session.closeTab(tab.id)}
      >
        <X size={13} />
      </button>
    </div>
  );
}

const MAX_BATCH = 100;
const signed = (value: number) => (value > 0 ? `+${value}` : String(value).replace("-", "−"));

function RunButtons({ session }: { session: Session }) {
  const say = useSay();
  const [batch, setBatch] = useState(1);
  const run = useStore(session.store, (state) => state.run);
  const hasCatalog = useStore(session.store, (state) => state.catalog.specs.size > 0);
  const priority = useStore(session.store, (state) => state.priority);
  const isBusy = run !== null && run.state !== "ended";
  const start = async (front: boolean) => {
    session.store.setState({ notice: null });
    for (let i = 0; i < batch; i++) {
      // What was refused once is refused again.
      if (!(await session.run(front))) return;
    }
  };
  return (
    <div className="flex items-center gap-1">
      {isBusy && (
        <IconButton
          label={say("bar.cancel")} className="text-danger"
          onClick={() => void cancelJob(session.client, run.job).catch((error: unknown) => session.tell(error))}
        >
          <Square size={15} />
        </IconButton>
      )}
      <input
        type="number" min={1} max={MAX_BATCH} value={batch} aria-label={say("bar.batch")} title={say("bar.batch")}
        className="w-12 rounded-md border border-line bg-canvas px-1.5 py-1 text-center max-md:hidden"
        onChange={(event) => setBatch(Math.min(MAX_BATCH, Math.max(1, Math.round(Number(event.target.value)) || 1)))}
      />
      <WithForecast session={session}><div className="flex h-8 overflow-hidden rounded-md bg-accent font-semibold text-on-accent has-disabled:opacity-40">
        <button
          type="button" disabled={!hasCatalog} title="Ctrl+Enter" onClick={() => void start(false)}
          className="flex items-center gap-1.5 px-3 hover:brightness-110 focus-visible:outline-offset-[-3px] focus-visible:outline-on-accent"
        >
          <Play size={14} fill="currentColor" /><span className="max-md:sr-only">{say("bar.run")}</span>
          {priority !== 0 && <span className="font-normal tabular-nums" title={say("queue.priority")}>{signed(priority)}</span>}
        </button>
        <Menu.Root>
          <Menu.Trigger
            disabled={!hasCatalog} aria-label={say("bar.runFront")} title={say("bar.runFront")}
            className="border-l border-on-accent/30 px-1 focus-visible:outline-offset-[-3px] focus-visible:outline-on-accent"
          >
            <ChevronDown size={14} />
          </Menu.Trigger>
          <Menu.Portal>
            <Menu.Positioner sideOffset={4} align="end" className="z-50">
              <Menu.Popup className={MENU_POPUP}>
                <Menu.Item className={MENU_ITEM} onClick={() => void start(false)}>{say("bar.run")}<span className="text-quiet">Ctrl+Enter</span></Menu.Item>
                <Menu.Item className={MENU_ITEM} onClick={() => void start(true)}>{say("bar.runFront")}<span className="text-quiet">Ctrl+Shift+Enter</span></Menu.Item>
              </Menu.Popup>
            </Menu.Positioner>
          </Menu.Portal>
        </Menu.Root>
      </div></WithForecast>
    </div>
  );
}
