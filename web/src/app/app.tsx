/** The page: a bar on top, the graph below, and what ran. */

import { useEffect, useRef, useState, type DragEvent } from "react";
import { useStore } from "zustand";
import { parseJson } from "../model/json_text";
import { GraphView } from "./graph_view";
import type { RunState, Session } from "./session";

const BUTTON =
  "rounded-md border border-[var(--line)] bg-[var(--raised)] px-3 py-1 hover:border-[var(--accent)] disabled:opacity-40";

export function App({ session }: { session: Session }) {
  const drop = (event: DragEvent) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file !== undefined) void openFile(session, file);
  };
  return (
    <div className="flex h-full flex-col" onDragOver={(event) => event.preventDefault()} onDrop={drop}>
      <TopBar session={session} />
      <main className="relative min-h-0 flex-1">
        <Graph session={session} />
        <RunPanel session={session} />
      </main>
      <Notice session={session} />
    </div>
  );
}

async function openFile(session: Session, file: File): Promise<void> {
  try {
    await session.openValue(parseJson(await file.text()));
  } catch (error) {
    session.say(error instanceof SyntaxError ? `${file.name} is no JSON file.` : String(error), true);
  }
}

function TopBar({ session }: { session: Session }) {
  const workflows = useStore(session.store, (state) => state.workflows);
  const saved = useStore(session.store, (state) => state.saved);
  const run = useStore(session.store, (state) => state.run);
  const hasCatalog = useStore(session.store, (state) => state.catalog.specs.size > 0);
  const picker = useRef<HTMLInputElement>(null);
  return (
    <header className="flex h-10 items-center gap-2 border-b border-[var(--line)] bg-[var(--surface)] px-3">
      <h1 className="mr-2 text-sm font-semibold">Atelier</h1>
      <label className="flex items-center gap-2">
        <span className="sr-only">Open a saved workflow</span>
        <select
          className="max-w-56 rounded-md border border-[var(--line)] bg-[var(--raised)] px-2 py-1"
          value={saved?.name ?? ""}
          onChange={(event) => event.target.value !== "" && void session.openSaved(event.target.value)}
        >
          <option value="">Saved workflows</option>
          {workflows.map((item) => <option key={item.name} value={item.name}>{item.name}</option>)}
        </select>
      </label>
      <button type="button" className={BUTTON} onClick={() => picker.current?.click()}>Open file</button>
      <input
        ref={picker} type="file" accept=".json,application/json" className="hidden" aria-label="Open a workflow file"
        onChange={(event) => {
          const [file] = event.target.files ?? [];
          if (file !== undefined) void openFile(session, file);
          event.target.value = "";
        }}
      />
      <SaveForm key={saved?.name ?? ""} session={session} name={saved?.name ?? ""} />
      <span className="flex-1" />
      <button
        type="button" disabled={!hasCatalog || (run !== null && run.state !== "ended")}
        className={`${BUTTON} border-[var(--accent)] font-semibold`} onClick={() => void session.run()}
      >
        Run
      </button>
    </header>
  );
}

function SaveForm({ session, name }: { session: Session; name: string }) {
  const [text, setText] = useState(name);
  return (
    <form
      className="flex gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim() !== "") void session.save(text.trim());
      }}
    >
      <input
        className="w-40 rounded-md border border-[var(--line)] bg-[var(--raised)] px-2 py-1" value={text}
        aria-label="Name to save under" placeholder="Name" onChange={(event) => setText(event.target.value)}
      />
      <button type="submit" className={BUTTON} disabled={text.trim() === ""}>Save</button>
    </form>
  );
}

/** The canvas. React mounts it once and never renders it again. */
function Graph({ session }: { session: Session }) {
  const element = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const view = new GraphView(element.current as HTMLCanvasElement, session);
    return () => view.close();
  }, [session]);
  return (
    <canvas
      ref={element} className="absolute inset-0 h-full w-full touch-none outline-none" tabIndex={0}
      role="application" aria-label="Graph of the workflow" onContextMenu={(event) => event.preventDefault()}
    />
  );
}

function RunPanel({ session }: { session: Session }) {
  const run = useStore(session.store, (state) => state.run);
  if (run === null) return null;
  return (
    <section
      aria-label="Run" aria-live="polite"
      className="absolute right-3 bottom-3 flex max-w-80 flex-col gap-2 rounded-lg border border-[var(--line)] bg-[var(--surface)] p-3"
    >
      <p>{describe(run)}</p>
      {run.progress !== null && <progress className="w-full" value={run.progress} max={1} aria-label="Progress of the node" />}
      {run.pictures.map((asset) => (
        <a key={asset} href={`/api/v1/assets/${encodeURIComponent(asset)}`} target="_blank" rel="noreferrer">
          <img className="w-full rounded-md" src={`/api/v1/assets/${encodeURIComponent(asset)}`} alt="Result" />
        </a>
      ))}
    </section>
  );
}

function describe(run: RunState): string {
  if (run.state === "waiting") return "Waiting";
  if (run.state === "ended") return run.message;
  return run.node === null ? "Running" : `Running node ${run.node}`;
}

function Notice({ session }: { session: Session }) {
  const notice = useStore(session.store, (state) => state.notice);
  if (notice === null) return null;
  return (
    <p role={notice.isError ? "alert" : "status"} className="border-t border-[var(--line)] bg-[var(--surface)] px-3 py-2">
      {notice.text}
    </p>
  );
}
