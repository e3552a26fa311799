/** The pictures this server made, newest first, by workflow, weights and words; more come as one scrolls. */

import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { noteConnection } from "../panels/watching";
import type { Asset, Origins } from "../server/api_types";
import { Empty, FIELD } from "../ui/parts";

const Lightbox = lazy(() => import("./lightbox"));
const PAGE = 40;
const QUIET_MS = 300;

/** What pictures are looked for; "" for any. */
interface Wanted {
  readonly workflow: string;
  readonly model: string;
  readonly text: string;
}

const ANY: Wanted = { workflow: "", model: "", text: "" };

export function thumbnailOf(asset: Asset, size = 256): string {
  return `/api/v1/assets/${encodeURIComponent(asset.id)}/thumbnail?size=${size}`;
}

export default function GalleryPanel({ session }: { session: Session }) {
  const say = useSay();
  const [wanted, setWanted] = useState(ANY);
  const [origins, setOrigins] = useState<Origins>({ workflows: [], models: [] });
  const runState = useStore(session.store, (state) => `${state.run?.job} ${state.run?.state}`);
  useEffect(() => {
    const stop = new AbortController();
    session.client.call("GET /assets/origins", { signal: stop.signal }).then(setOrigins).catch(() => undefined);
    return () => stop.abort();
  }, [session, runState]);
  return (
    <div className="flex flex-col gap-2 p-2">
      <SearchField label={say("gallery.filter")} onText={(text) => setWanted((now) => ({ ...now, text }))} />
      <NameFilter
        label={say("gallery.workflow")} any={say("gallery.anyWorkflow")} names={origins.workflows} value={wanted.workflow}
        onChange={(workflow) => setWanted({ ...wanted, workflow })}
      />
      <NameFilter
        label={say("gallery.model")} any={say("gallery.anyModel")} names={origins.models} value={wanted.model}
        onChange={(model) => setWanted({ ...wanted, model })}
      />
      <FoundPictures key={JSON.stringify(wanted)} session={session} wanted={wanted} />
    </div>
  );
}

/** Asks for what is written once the fingers rest. */
function SearchField({ label, onText }: { label: string; onText: (text: string) => void }) {
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <input
      type="search" className={FIELD} placeholder={label} aria-label={label} maxLength={300}
      onChange={(event) => {
        const text = event.target.value.trim();
        clearTimeout(timer.current);
        timer.current = window.setTimeout(() => onText(text), QUIET_MS);
      }}
    />
  );
}

interface FilterProps {
  readonly label: string;
  readonly any: string;
  readonly names: readonly string[];
  readonly value: string;
  readonly onChange: (name: string) => void;
}

function NameFilter({ label, any, names, value, onChange }: FilterProps) {
  if (names.length === 0) return null;
  return (
    <select className={FIELD} aria-label={label} value={value} onChange={(event) => onChange(event.target.value)}>
      <option value="">{any}</option>
      {names.map((name) => <option key={name} value={name}>{name}</option>)}
    </select>
  );
}

function FoundPictures({ session, wanted }: { session: Session; wanted: Wanted }) {
  const say = useSay();
  const [assets, setAssets] = useState<readonly Asset[] | null>(null);
  const [isAll, setAll] = useState(false);
  const [shown, setShown] = useState<Asset | null>(null);
  const end = useRef<HTMLDivElement>(null);
  const numPictures = useStore(session.store, (state) => state.run?.pictures.length ?? 0);
  const runState = useStore(session.store, (state) => `${state.run?.job} ${state.run?.state}`);

  // What a job makes comes on top; what is loaded already stays.
  useEffect(() => {
    const stop = new AbortController();
    void load(session, wanted, 0, stop.signal).then((page) => {
      if (page === null) return;
      setAssets((known) => [...page, ...(known ?? []).filter((old) => !page.some((item) => item.id === old.id))]);
      if (page.length < PAGE) setAll(true);
    });
    return () => stop.abort();
    // `wanted` stays the same for as long as this lives.
  }, [session, numPictures, runState]);

  const count = assets?.length ?? 0;
  useEffect(() => {
    const element = end.current;
    if (element === null || isAll || count === 0) return undefined;
    const stop = new AbortController();
    const observer = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting !== true) return;
      observer.disconnect();
      void load(session, wanted, count, stop.signal).then((page) => {
        if (page === null) return;
        setAssets((known) => [...(known ?? []), ...page.filter((item) => !known?.some((old) => old.id === item.id))]);
        if (page.length < PAGE) setAll(true);
      });
    }, { rootMargin: "400px" });
    observer.observe(element);
    return () => {
      stop.abort();
      observer.disconnect();
    };
  }, [session, count, isAll]);

  const found = assets?.filter((asset) => asset.media_type.startsWith("image/")) ?? [];
  const isFiltered = Object.values(wanted).some((value) => value !== "");
  return (
    <>
      {assets !== null && found.length === 0 && <Empty>{say(isFiltered ? "gallery.nothing" : "gallery.empty")}</Empty>}
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
    </>
  );
}

async function load(session: Session, wanted: Wanted, offset: number, signal: AbortSignal): Promise<readonly Asset[] | null> {
  const names = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== ""));
  try {
    return await session.client.call("GET /assets", { query: { ...names, limit: PAGE, offset }, signal });
  } catch (error) {
    if (!signal.aborted) noteConnection(session, error);
    return null;
  }
}
