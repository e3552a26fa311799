/** The rail of panels at the left (below on phones), and the panel that is open. */

import { Blocks, FolderOpen, HardDrive, Images, ListTree, ListVideo, TextCursorInput } from "lucide-react";
import { lazy, Suspense } from "react";
import type { Session } from "../app/session";
import { useSay, type TextKey } from "../i18n/catalogue";
import { IconButton } from "../ui/parts";

const NodePanel = lazy(() => import("./node_panel"));
const WorkflowPanel = lazy(() => import("./workflow_panel"));
const OutlinePanel = lazy(() => import("./outline_panel"));
const FormPanel = lazy(() => import("./form_panel"));
const ModelPanel = lazy(() => import("./model_panel"));
const QueuePanel = lazy(() => import("./queue_panel"));
const GalleryPanel = lazy(() => import("../gallery/gallery_panel"));

export const PANELS = {
  nodes: { icon: Blocks, text: "rail.nodes", show: NodePanel },
  workflows: { icon: FolderOpen, text: "rail.workflows", show: WorkflowPanel },
  outline: { icon: ListTree, text: "rail.outline", show: OutlinePanel },
  form: { icon: TextCursorInput, text: "rail.form", show: FormPanel },
  models: { icon: HardDrive, text: "rail.models", show: ModelPanel },
  queue: { icon: ListVideo, text: "rail.queue", show: QueuePanel },
  gallery: { icon: Images, text: "rail.gallery", show: GalleryPanel },
} as const satisfies Record<string, { icon: typeof Blocks; text: TextKey; show: typeof NodePanel }>;
export type PanelName = keyof typeof PANELS;

export function SideRail({ shown, onShow }: { shown: PanelName | null; onShow: (name: PanelName | null) => void }) {
  const say = useSay();
  return (
    <nav
      aria-label={say("rail.label")}
      className="flex shrink-0 items-center gap-1 border-line bg-surface p-1 max-md:justify-around max-md:border-t md:w-11 md:flex-col md:border-r"
    >
      {(Object.keys(PANELS) as PanelName[]).map((name) => {
        const { icon: Icon, text } = PANELS[name];
        return (
          <IconButton
            key={name} label={say(text)} aria-pressed={shown === name} className="md:size-9"
            onClick={() => onShow(shown === name ? null : name)}
          >
            <Icon size={18} />
          </IconButton>
        );
      })}
    </nav>
  );
}

export function SidePanel({ session, name, onClose }: { session: Session; name: PanelName; onClose: () => void }) {
  const say = useSay();
  const { text, show: Panel } = PANELS[name];
  return (
    <aside
      aria-label={say(text)} onKeyDown={(event) => event.key === "Escape" && onClose()}
      className="z-20 flex min-h-0 flex-col overflow-hidden border-line bg-surface max-md:absolute max-md:inset-0 md:w-72 md:shrink-0 md:border-r"
    >
      <h2 className="border-b border-line px-3 py-2 text-sm font-semibold">{say(text)}</h2>
      <div className="min-h-0 flex-1 overflow-auto">
        <Suspense fallback={<p className="p-3 text-quiet">{say("app.loading")}</p>}><Panel session={session} onClose={onClose} /></Suspense>
      </div>
    </aside>
  );
}
