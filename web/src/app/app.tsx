/** The page: bar and banners on top, panels at the sides, the graph in the middle, the state of the server below. */

import { lazy, Suspense, useEffect, useRef, useState, type DragEvent } from "react";
import { useStore } from "zustand";
import { ownLink } from "../files/dropped_link";
import { useSay } from "../i18n/catalogue";
import type { GraphId } from "../model/records";
import { Banners } from "../panels/banner";
import { Breadcrumb } from "../panels/breadcrumb";
import { EmptyGraph } from "../panels/empty_graph";
import { openFiles, openLink } from "../panels/opening";
import { RunCard } from "../panels/run_card";
import { SidePanel, SideRail } from "../panels/side_rail";
import { StatusBar } from "../panels/status_bar";
import { TopBar } from "../panels/top_bar";
import { addFound, NODE_DRAG } from "../search/adding";
import { listenToClipboard } from "./clipboard_events";
import { GraphView } from "./graph_view";
import { Minimap } from "./minimap";
import type { CurveRequest, MaskRequest, MenuRequest, SearchRequest } from "./requests";
import type { OpenDocument } from "../model/open_document";
import type { NodeId } from "../model/records";
import type { Session } from "./session";
import { useSidePanels } from "./side_panels";

const PropertiesPanel = lazy(() => import("../panels/properties_panel"));
const SearchWindow = lazy(() => import("../search/search_window"));
const Palette = lazy(() => import("../search/palette"));
const ContextMenu = lazy(() => import("../panels/context_menu"));
const NameWindow = lazy(() => import("../panels/name_window"));
const ConflictWindow = lazy(() => import("../panels/conflict_window"));
const UnreadableDraft = lazy(() => import("../panels/unreadable_draft"));
const VersionsWindow = lazy(() => import("../panels/versions_window"));
const ComparisonBar = lazy(() => import("../panels/comparison_bar"));
const FormView = lazy(() => import("../panels/form_view"));
const InterfaceWindow = lazy(() => import("../panels/interface_window"));
const GridWindow = lazy(() => import("../gallery/grid_window"));
const Pictures = lazy(() => import("../gallery/pictures"));
const MaskWindow = lazy(() => import("../gallery/mask_window"));
const CurveWindow = lazy(() => import("../panels/curve_window"));
const CropWindow = lazy(() => import("../gallery/crop_window"));
const LiveWindow = lazy(() => import("../gallery/live_window"));
const SettingsWindow = lazy(() => import("../settings/settings_window"));

/** The window over the page, if there is one. */
type Over =
  | { readonly is: "save" | "settings" | "versions" | "palette" | "grid" }
  | { readonly is: "search"; readonly request: SearchRequest }
  | { readonly is: "pictures"; readonly assets: readonly string[]; readonly at: number }
  | { readonly is: "live"; readonly document: OpenDocument; readonly node: NodeId }
  | { readonly is: "curve"; readonly request: CurveRequest }
  | { readonly is: "mask" | "crop"; readonly request: MaskRequest }
  | { readonly is: "menu"; readonly request: MenuRequest }
  | { readonly is: "interface"; readonly graph: GraphId }
  | { readonly is: "rename"; readonly first: string; readonly done: (name: string) => void };

const DROPPED: ReadonlySet<string> = new Set(["Files", "text/uri-list", NODE_DRAG]);

/** The page as the address says: the form of a workflow, or its graph with everything around it. */
export function App({ session }: { session: Session }) {
  const [isForm, setForm] = useState(() => new URLSearchParams(location.search).get("view") === "form");
  const [over, setOver] = useState<Over | null>(null);
  useEffect(() => {
    session.showForm = (next) => {
      setForm(next);
      const address = new URL(location.href);
      if (next) address.searchParams.set("view", "form");
      else address.searchParams.delete("view");
      history.replaceState(null, "", address);
    };
  }, [session]);
  useRequests(session, setOver);
  useCatalog(session);
  useEffect(() => listenToClipboard(session), [session]);
  return (
    <>
      {isForm ? <Suspense><FormView session={session} /></Suspense> : <Editor session={session} setOver={setOver} />}
      <Suspense><Windows session={session} over={over} setOver={setOver} /></Suspense>
    </>
  );
}

function Editor({ session, setOver }: { session: Session; setOver: (over: Over | null) => void }) {
  const say = useSay();
  const { panel, hasProperties, showPanel, showProperties } = useSidePanels();
  const comparison = useStore(session.comparison);
  const broken = useStore(session.store, ({ tabs, active }) => tabs.find((tab) => tab.id === active && tab.unreadable !== null));
  const [isDropping, setDropping] = useState(false);
  const drop = (event: DragEvent) => {
    setDropping(false);
    const type = event.dataTransfer.getData(NODE_DRAG);
    const place = offPage({ x: event.clientX, y: event.clientY });
    if (type !== "" && session.desk !== null) {
      event.preventDefault();
      void addFound(session, type, { at: session.desk.placeAt(place), screen: place });
      return;
    }
    // A picture dragged from the page comes as a file too, but only as large as it is shown.
    const link = ownLink(event.dataTransfer.getData("text/uri-list"), location.origin);
    if (link !== null) {
      event.preventDefault();
      void openLink(session, link);
      return;
    }
    const files = Array.from(event.dataTransfer.files);
    if (files.length === 0) return;
    event.preventDefault();
    void openFiles(session, files);
  };
  return (
    <div
      className="flex h-full flex-col" onDrop={drop} onDragLeave={(event) => event.relatedTarget === null && setDropping(false)}
      onDragOver={(event) => {
        const { types } = event.dataTransfer;
        if (types.some((type) => DROPPED.has(type))) event.preventDefault();
        if (types.includes("Files")) setDropping(true);
      }}
    >
      <a href="#graph" className="sr-only z-50 bg-surface p-2 focus:not-sr-only focus:absolute">{say("app.skip")}</a>
      <TopBar
        session={session} hasProperties={hasProperties} onProperties={() => showProperties(!hasProperties)}
        onWindow={(is) => setOver({ is })}
      />
      <Banners session={session} />
      <div className="relative flex min-h-0 flex-1 max-md:flex-col-reverse">
        <SideRail shown={panel} onShow={showPanel} />
        <div className="relative flex min-h-0 min-w-0 flex-1">
          {panel !== null && <SidePanel session={session} name={panel} onClose={() => showPanel(null)} />}
          <main className="relative min-w-0 flex-1 overflow-hidden">
            {broken === undefined ? <Graph session={session} /> : <Suspense><UnreadableDraft session={session} tab={broken} /></Suspense>}
            {comparison !== null && <Suspense><ComparisonBar session={session} comparison={comparison} /></Suspense>}
            <Breadcrumb session={session} onInterface={(graph) => setOver({ is: "interface", graph })} />
            {broken === undefined && <Minimap session={session} />}
            {broken === undefined && comparison === null && (
              <EmptyGraph session={session} onTemplates={() => showPanel("workflows")} onAdd={() => searchInTheMiddle(session)} />
            )}
            <RunCard session={session} />
            {isDropping && (
              <p className="pointer-events-none absolute inset-3 z-30 flex items-center justify-center rounded-xl border-2 border-dashed border-accent bg-canvas/80 text-lg">{say("file.drop")}</p>
            )}
          </main>
          {hasProperties && <Suspense><PropertiesPanel session={session} onClose={() => showProperties(false)} /></Suspense>}
        </div>
      </div>
      <StatusBar session={session} onQueue={() => showPanel("queue")} onProblems={() => showProperties(true)} />
    </div>
  );
}

/** Take what the canvas and the keys ask for. */
function useRequests(session: Session, setOver: (over: Over) => void): void {
  useEffect(() => {
    session.openSearch = (request) => setOver({ is: "search", request });
    session.openMenu = (request) => setOver({ is: "menu", request });
    session.openPictures = (assets, at) => setOver({ is: "pictures", assets, at });
    session.openPreview = (document, node) => setOver({ is: "live", document, node });
    session.openMask = (request) => setOver({ is: "mask", request });
    session.openCurve = (request) => setOver({ is: "curve", request });
    session.openCrop = (request) => setOver({ is: "crop", request });
    session.openPalette = () => setOver({ is: "palette" });
    session.askName = () => setOver({ is: "save" });
    const end = new AbortController();
    addEventListener("keydown", (event) => {
      const isCtrl = event.ctrlKey || event.metaKey;
      if (isCtrl && event.key.toLowerCase() === "k") {
        event.preventDefault();
        session.openPalette();
      } else if (event.key === "A" && event.shiftKey && !isCtrl && (event.target as Element | null)?.id === "graph") {
        event.preventDefault();
        searchInTheMiddle(session);
      }
    }, { signal: end.signal });
    return () => {
      end.abort();
      session.openSearch = null;
      session.openMenu = null;
      session.openPictures = null;
      session.openPreview = null;
      session.openMask = null;
      session.openCrop = null;
      session.openCurve = null;
    };
  }, [session, setOver]);
}

const ASK_AGAIN_MS = 3000;

/** A page that was opened before the server had its node types asks until they are there. */
function useCatalog(session: Session): void {
  const isEmpty = useStore(session.store, (state) => state.catalog.specs.size === 0);
  useEffect(() => {
    if (!isEmpty) return undefined;
    const timer = setInterval(() => void session.start(null), ASK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [session, isEmpty]);
}

function searchInTheMiddle(session: Session): void {
  const box = document.getElementById("graph")?.getBoundingClientRect();
  const screen = { x: (box?.width ?? 0) / 2, y: (box?.height ?? 0) / 3 };
  session.openSearch?.({ at: session.desk?.middle() ?? { x: 0, y: 0 }, screen });
}

function Windows({ session, over, setOver }: { session: Session; over: Over | null; setOver: (over: Over | null) => void }) {
  const say = useSay();
  const conflict = useStore(session.store, (state) => state.conflict);
  const close = () => setOver(null);
  if (conflict !== null) return <ConflictWindow session={session} {...conflict} />;
  switch (over?.is) {
    case undefined: return null;
    case "settings": return <SettingsWindow onClose={close} />;
    case "live": return <LiveWindow session={session} document={over.document} node={over.node} onClose={close} />;
    case "pictures": return <Pictures session={session} ids={over.assets} at={over.at} onClose={close} />;
    case "mask": return <MaskWindow session={session} request={over.request} onClose={close} />;
    case "curve": return <CurveWindow session={session} request={over.request} onClose={close} />;
    case "crop": return <CropWindow session={session} request={over.request} onClose={close} />;
    case "grid": return <GridWindow session={session} onClose={close} />;
    case "versions": return <VersionsWindow session={session} onClose={close} />;
    case "save": {
      const { saved, tabs, active } = session.store.getState();
      const first = saved?.name ?? tabs.find((tab) => tab.id === active)?.title ?? "";
      return <NameWindow title={say("save.title")} first={first} mayBeEmpty={false} onDone={(name) => void session.save(name)} onClose={close} />;
    }
    case "interface": return <InterfaceWindow session={session} graph={over.graph} onClose={close} />;
    case "rename":
      return <NameWindow title={say("context.name")} first={over.first} mayBeEmpty onDone={over.done} onClose={close} />;
    case "search":
      return <SearchWindow session={session} request={over.request} place={onPage(over.request.screen)} onClose={close} />;
    case "menu":
      return (
        <ContextMenu
          session={session} request={over.request} place={onPage(over.request.screen)} onClose={close}
          onRename={(first, done) => setTimeout(() => setOver({ is: "rename", first, done }))}
          onInterface={(graph) => setTimeout(() => setOver({ is: "interface", graph }))}
        />
      );
    case "palette": {
      const extras = [
        { text: say("context.add"), act: () => setTimeout(() => searchInTheMiddle(session)) },
        { text: say("bar.newTab"), act: () => session.newTab() },
        { text: say("menu.saveAs"), act: () => setOver({ is: "save" }) },
        { text: say("menu.versions"), act: () => setOver({ is: "versions" }) },
        { text: say("menu.grid"), act: () => setOver({ is: "grid" }) },
        { text: say("form.open"), act: () => session.showForm(true) },
        { text: say("menu.settings"), act: () => setOver({ is: "settings" }) },
      ];
      return <Palette session={session} extras={extras} onClose={close} />;
    }
  }
}

/** A place on the canvas as one of the window. */
function onPage(screen: { readonly x: number; readonly y: number }): { x: number; y: number } {
  const box = document.getElementById("graph")?.getBoundingClientRect();
  return { x: screen.x + (box?.left ?? 0), y: screen.y + (box?.top ?? 0) };
}

function offPage(place: { readonly x: number; readonly y: number }): { x: number; y: number } {
  const corner = onPage({ x: 0, y: 0 });
  return { x: place.x - corner.x, y: place.y - corner.y };
}

/** The canvas. React mounts it once and never renders it again; its layers are its own. */
function Graph({ session }: { session: Session }) {
  const say = useSay();
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const view = new GraphView(element.current as HTMLDivElement, session);
    return () => view.close();
  }, [session]);
  return (
    <div
      ref={element} id="graph" className="absolute inset-0 touch-none overflow-hidden outline-none" tabIndex={0}
      role="application" aria-label={say("app.graph")} onContextMenu={(event) => event.preventDefault()}
    />
  );
}
