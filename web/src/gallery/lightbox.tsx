/** One picture large: zoom, compare, what is known about it, and where it came from. */

import { Dialog } from "@base-ui/react/dialog";
import { ArrowLeft, ArrowRight, Columns2, Download, FileInput, Info, Workflow, X } from "lucide-react";
import { useEffect, useState } from "react";
import type { Session } from "../app/session";
import { textsOf } from "../files/picture_metadata";
import { useSay } from "../i18n/catalogue";
import { openGraphOf } from "../panels/opening";
import type { Asset } from "../server/api_types";
import { upload } from "../server/workflows";
import { FIELD, IconButton } from "../ui/parts";
import { sizeText } from "../ui/size";
import { ComparedPictures, ZoomedPicture } from "./zoomed_picture";

interface LightboxProps {
  readonly session: Session;
  readonly assets: readonly Asset[];
  readonly first: Asset;
  readonly onClose: () => void;
}

export default function Lightbox({ session, assets, first, onClose }: LightboxProps) {
  const say = useSay();
  const [asset, setAsset] = useState(first);
  const [other, setOther] = useState<Asset | null>(null);
  const [hasFacts, setFacts] = useState(false);
  const at = assets.findIndex((item) => item.id === asset.id);
  const go = (by: number) => {
    const next = assets[at + by];
    if (next !== undefined) setAsset(next);
  };
  const toInput = async () => {
    try {
      const blob = await session.client.call("GET /assets/{asset}", { path: { asset: asset.id } });
      const sent = await upload(session.client, new File([blob], asset.filename, { type: asset.media_type }));
      await session.loadFiles(session.store.getState().open.document);
      session.say(say("gallery.sent", { name: sent.name }));
    } catch (error) {
      session.tell(error);
    }
  };
  return (
    <Dialog.Root open onOpenChange={(isOpen) => !isOpen && onClose()}>
      <Dialog.Portal>
        <Dialog.Popup
          className="fixed inset-0 z-50 flex flex-col bg-canvas text-text"
          onKeyDown={(event) => {
            if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
            if (event.key === "ArrowLeft") go(-1);
            if (event.key === "ArrowRight") go(1);
          }}
        >
          <header className="flex flex-wrap items-center gap-1 border-b border-line bg-surface px-2 py-1">
            <Dialog.Title className="min-w-0 flex-1 truncate px-1 text-sm font-semibold">{asset.filename}</Dialog.Title>
            <IconButton label={say("gallery.previous")} disabled={at <= 0} onClick={() => go(-1)}><ArrowLeft size={16} /></IconButton>
            <IconButton label={say("gallery.next")} disabled={at >= assets.length - 1} onClick={() => go(1)}><ArrowRight size={16} /></IconButton>
            <IconButton
              label={say("gallery.compare")} aria-pressed={other !== null} disabled={assets.length < 2}
              onClick={() => setOther(other === null ? (assets[at + 1] ?? assets[at - 1] ?? null) : null)}
            >
              <Columns2 size={16} />
            </IconButton>
            <IconButton
              label={say("gallery.openGraph")}
              onClick={() => void openGraphOf(session, asset.id, asset.filename).then(onClose)}
            >
              <Workflow size={16} />
            </IconButton>
            <IconButton label={say("gallery.toInput")} onClick={() => void toInput().then(onClose)}><FileInput size={16} /></IconButton>
            <a
              href={asset.url} download={asset.filename} aria-label={say("gallery.download")} title={say("gallery.download")}
              className="inline-flex size-8 items-center justify-center rounded-md text-quiet hover:bg-raised hover:text-text"
            >
              <Download size={16} />
            </a>
            <IconButton label={say("gallery.facts")} aria-pressed={hasFacts} onClick={() => setFacts(!hasFacts)}><Info size={16} /></IconButton>
            <Dialog.Close render={<IconButton label={say("app.close")} />}><X size={16} /></Dialog.Close>
          </header>
          <div className="flex min-h-0 flex-1 max-md:flex-col">
            <div className="relative min-h-0 min-w-0 flex-1 overflow-hidden">
              {other === null
                ? <ZoomedPicture key={asset.id} url={asset.url} alt={asset.filename} />
                : <ComparedPictures one={asset.url} two={other.url} names={[asset.filename, other.filename]} />}
            </div>
            {other !== null && (
              <select
                className={`${FIELD} absolute top-14 left-2 max-w-56`} value={other.id} aria-label={say("gallery.pickCompare")}
                onChange={(event) => setOther(assets.find((item) => item.id === event.target.value) ?? null)}
              >
                {assets.filter((item) => item.id !== asset.id).map((item) => <option key={item.id} value={item.id}>{item.filename}</option>)}
              </select>
            )}
            {hasFacts && <Facts session={session} asset={asset} />}
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Facts({ session, asset }: { session: Session; asset: Asset }) {
  const say = useSay();
  const [texts, setTexts] = useState<readonly (readonly [string, string])[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    setTexts([]);
    session.client.call("GET /assets/{asset}", { path: { asset: asset.id }, signal: stop.signal })
      // What people read is short; graphs are long.
      .then(async (blob) => setTexts([...textsOf(new Uint8Array(await blob.arrayBuffer()))].sort((one, other) => one[1].length - other[1].length)))
      .catch(() => undefined);
    return () => stop.abort();
  }, [session, asset]);
  const rows: readonly (readonly [string, string])[] = [
    ["", `${asset.width_px} × ${asset.height_px}`], ["", sizeText(asset.size_bytes, say)],
    ["", new Date(asset.created_s * 1000).toLocaleString()], ["", [asset.subfolder, asset.filename].filter(Boolean).join("/")],
    ...texts,
  ];
  return (
    <aside aria-label={say("gallery.facts")} className="flex w-80 shrink-0 flex-col gap-2 overflow-auto border-l border-line bg-surface p-3 max-md:max-h-1/2 max-md:w-full">
      {rows.map(([name, text], i) => (
        <div key={i}>
          {name !== "" && <h3 className="text-xs text-quiet">{name}</h3>}
          <p tabIndex={name === "" ? undefined : 0} className={`break-words ${name === "" ? "" : "max-h-48 overflow-auto rounded-md bg-canvas p-2 font-mono text-xs whitespace-pre-wrap"}`}>{text.slice(0, 20_000)}</p>
        </div>
      ))}
    </aside>
  );
}
