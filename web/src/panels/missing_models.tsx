/** Files a workflow needs and the server does not have: where they belong, and a download where the file says from where. */

import { Download as DownloadIcon, Trash2, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { Session } from "../app/session";
import type { MissingFile } from "../files/missing";
import { useSay } from "../i18n/catalogue";
import type { Download, Offer } from "../server/api_types";
import { ACTIVE, followDownloads } from "../server/downloads";
import { IconButton, MAIN_BUTTON, PLAIN_BUTTON } from "../ui/parts";
import { sizeText } from "../ui/size";

const keyOf = ({ folder, name }: { readonly folder: string; readonly name: string }) => `${folder}/${name}`;

interface MissingProps {
  readonly session: Session;
  readonly files: readonly MissingFile[];
  /** Told after a file has come, when the lists have it. */
  readonly onCame: () => void;
}

export function MissingModels({ session, files, onCame }: MissingProps) {
  const say = useSay();
  const downloads = useDownloads(session, files.some((file) => file.source !== null), onCame);
  return (
    <ul className="flex flex-col gap-2">
      {files.map((file) => (
        <li key={keyOf(file)} className="rounded-md border border-line bg-raised p-2">
          <p className="break-all">{file.name}</p>
          <p className="text-xs text-quiet">{say("problems.belongs", { folder: file.folder === "input" ? "input" : `models/${file.folder}` })}</p>
          {file.license !== undefined && <p className="text-xs text-quiet">{say("problems.license", { license: file.license })}</p>}
          {file.source !== null && <Row session={session} file={file} download={downloads.get(keyOf(file))} />}
        </li>
      ))}
    </ul>
  );
}

/** The server's downloads by place, while anything here can be downloaded. */
function useDownloads(session: Session, isWanted: boolean, onCame: () => void): ReadonlyMap<string, Download> {
  const [known, setKnown] = useState<ReadonlyMap<string, Download>>(new Map());
  const came = useRef(onCame);
  came.current = onCame;
  useEffect(() => {
    if (!isWanted) return undefined;
    const stop = new AbortController();
    const running = new Set<string>();
    const follow = async () => {
      for await (const download of followDownloads(session.client, stop.signal)) {
        setKnown((now) => {
          const next = new Map(now);
          if ((download.state as string) === "removed") next.delete(keyOf(download));
          else next.set(keyOf(download), download);
          return next;
        });
        if (ACTIVE.has(download.state)) running.add(download.id);
        else if (running.delete(download.id) && download.state === "done") {
          await refreshFiles(session);
          came.current();
        }
      }
    };
    void follow();
    return () => stop.abort();
  }, [session, isWanted]);
  return known;
}

/** Read the lists again, and show nodes that choose from them anew. */
async function refreshFiles(session: Session): Promise<void> {
  const { open } = session.store.getState();
  await session.loadFiles(open.document).catch(() => undefined);
  session.store.setState({ problems: [...session.store.getState().problems] });
}

function Row({ session, file, download }: { session: Session; file: MissingFile; download: Download | undefined }) {
  const say = useSay();
  const [offer, setOffer] = useState<Offer | "asked" | null>(null);
  const { client } = session;
  const body = { folder: file.folder, name: file.name.replaceAll("\\", "/"), ...file.source, url: file.source?.url ?? "" };
  const tell = (error: unknown) => {
    setOffer(null);
    session.tell(error);
  };
  const ask = () => {
    setOffer("asked");
    client.call("POST /downloads/offer", { body }).then(setOffer).catch(tell);
  };
  if (download !== undefined && download.state !== "done") return <Progress session={session} download={download} />;
  if (offer === null) {
    const label = say("download.ask", { name: shortName(file.name) });
    return <button type="button" className={`${PLAIN_BUTTON} mt-1.5`} aria-label={label} onClick={ask}><DownloadIcon size={14} />{say("gallery.download")}…</button>;
  }
  if (offer === "asked") return <p role="status" className="mt-1.5 text-quiet">{say("download.asking", { host: hostOf(body.url) })}</p>;
  const [size, free] = [sizeText(offer.size_bytes, say), sizeText(offer.free_bytes, say)];
  return (
    <div role="group" aria-label={say("download.ask", { name: shortName(file.name) })} className="mt-1.5 flex flex-col gap-2">
      <p className="text-xs">{say("download.offer", { size, host: offer.host, folder: offer.folder, free })}</p>
      <div className="flex flex-wrap gap-2">
        <button
          type="button" className={MAIN_BUTTON}
          onClick={() => void client.call("POST /downloads", { body }).then(() => setOffer(null)).catch(tell)}
        >
          <DownloadIcon size={14} />{say("download.start", { size })}
        </button>
        <button type="button" className={PLAIN_BUTTON} onClick={() => setOffer(null)}>{say("app.cancel")}</button>
      </div>
    </div>
  );
}

function Progress({ session, download }: { session: Session; download: Download }) {
  const say = useSay();
  const { id, state, error, received_bytes: done, size_bytes: size } = download;
  const name = shortName(download.name);
  const isActive = ACTIVE.has(state);
  const texts = { done: sizeText(done, say), size: sizeText(size, say) };
  const act = (work: Promise<unknown>) => void work.catch((fault: unknown) => session.tell(fault));
  return (
    <div className="mt-1.5 flex flex-col gap-1">
      <div className="flex items-center gap-2">
        <p className="min-w-0 flex-1 text-xs text-quiet tabular-nums">
          {state === "waiting" ? say("download.waiting") : say(isActive ? "download.progress" : "download.stopped", texts)}
        </p>
        {!isActive && (
          <button type="button" className={PLAIN_BUTTON} onClick={() => act(session.client.call("POST /downloads/{download}/resume", { path: { download: id } }))}>
            {say("download.goOn")}
          </button>
        )}
        <IconButton
          label={say(isActive ? "download.cancel" : "download.remove", { name })}
          onClick={() => act(session.client.call("DELETE /downloads/{download}", { path: { download: id } }))}
        >
          {isActive ? <X size={14} /> : <Trash2 size={14} />}
        </IconButton>
      </div>
      <div
        role="progressbar" aria-label={say("download.progressOf", { name })} aria-valuemin={0} aria-valuemax={100}
        aria-valuenow={Math.floor((done / size) * 100)} className="h-1 overflow-hidden rounded-full bg-line"
      >
        <div className="h-full bg-accent" style={{ width: `${(done / size) * 100}%` }} />
      </div>
      {error !== "" && <p className="text-xs break-words text-danger">{error}</p>}
    </div>
  );
}

function shortName(name: string): string {
  return name.split(/[\\/]/).at(-1) ?? name;
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url;
}
