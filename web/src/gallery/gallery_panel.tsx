/** The pictures this server made, newest first; more come as one scrolls. */

import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { noteConnection } from "../panels/watching";
import type { Asset } from "../server/api_types";
import { Empty, FIELD } from "../ui/parts";

const Lightbox = lazy(() => import("./lightbox"));
const PAGE = 40;

export function thumbnailOf(asset: Asset, size = 256): string {
  return `/api/v1/assets/${encodeURIComponent(asset.id)}/thumbnail?size=${size}`;
}

export default function GalleryPanel({ session }: { session: Session }) {
  const say = useSay();
  const [assets, setAssets] = useState<readonly Asset[]>([]);
  const [isAll, setAll] = useState(false);
  const [text, setText] = useState("");
  const [shown, setShown] = useState<Asset | null>(null);
  const end = useRef<HTMLDivElement>(null);
  const numPictures = useStore(session.store, (state) => state.run?.pictures.length ?? 0);
  const runState = useStore(session.store, (state) => `${state.run?.job} ${state.run?.state}`);

  // What a job makes comes on top; what is loaded already stays.
  useEffect(() => {
    const stop = new AbortController();
    void load(session, 0, stop.signal).then((page) => {
      if (page === null) return;
      setAssets((known) => [...page, ...known.filter((old) => !page.some((item) => item.id === old.id))]);
      if (page.length < PAGE) setAll(true);
    });
    return () => stop.abort();
  }, [session, numPictures, runState]);

  const count = assets.length;
  useEffect(() => {
    const element = end.current;
    if (element === null || isAll || count === 0) return undefined;
    const stop = new AbortController();
    const observer = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting !== true) return;
      observer.disconnect();
      void load(session, count, stop.signal).then((page) => {
        if (page === null) return;
        setAssets((known) => [...known, ...page.filter((item) => !known.some((old) => old.id === item.id))]);
        if (page.length < PAGE) setAll(true);
      });
    }, { rootMargin: "400px" });
    observer.observe(element);
    return () => {
      stop.abort();
      observer.disconnect();
    };
  }, [session, count, isAll]);

  const found = assets.filter((asset) => isPicture(asset) && asset.filename.toLowerCase().includes(text.trim().toLowerCase()));
  return (
    <div className="flex flex-col gap-2 p-2">
      <input
        type="search" className={FIELD} placeholder={say("gallery.filter")} aria-label={say("gallery.filter")} value={text}
        onChange={(event) => setText(event.target.value)}
      />
      {found.length === 0 && <Empty>{say("gallery.empty")}</Empty>}
      <div className="grid grid-cols-2 gap-1.5 max-md:grid-cols-3">
        {found.map((asset) => (
          <button
            key={asset.id} type="button" aria-label={say("gallery.show", { name: asset.filename })} title={asset.filename}
            onClick={() => setShown(asset)} className="aspect-square overflow-hidden rounded-md border border-line bg-raised hover:border-accent"
          >
            <img
              src={thumbnailOf(asset)} alt="" loading="lazy" decoding="async" className="size-full object-cover"
              draggable onDragStart={(event) => event.dataTransfer.setData("text/uri-list", new URL(asset.url, location.href).href)}
            />
          </button>
        ))}
      </div>
      <div ref={end} className="h-px" />
      {shown !== null && (
        <Suspense>
          <Lightbox session={session} assets={found} first={shown} onClose={() => setShown(null)} />
        </Suspense>
      )}
    </div>
  );
}

function isPicture(asset: Asset): boolean {
  return asset.media_type.startsWith("image/");
}

async function load(session: Session, offset: number, signal: AbortSignal): Promise<readonly Asset[] | null> {
  try {
    return await session.client.call("GET /assets", { query: { limit: PAGE, offset }, signal });
  } catch (error) {
    if (!signal.aborted) noteConnection(session, error);
    return null;
  }
}
