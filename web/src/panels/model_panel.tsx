/** The model files of the server by folder; a click copies a name. */

import { useState } from "react";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { Empty, FIELD } from "../ui/parts";
import { sizeText } from "../ui/size";
import { useWatched } from "./watching";

const EVERY_MS = 30_000;

export default function ModelPanel({ session }: { session: Session }) {
  const say = useSay();
  const [folder, setFolder] = useState("checkpoints");
  const folders = useWatched(session, (signal) => session.client.call("GET /models", { signal }), EVERY_MS, "");
  const files = useWatched(
    session, (signal) => session.client.call("GET /models/{folder}", { path: { folder }, signal }), EVERY_MS, folder,
  );
  return (
    <div className="flex flex-col gap-1 p-2">
      <select className={FIELD} value={folder} aria-label={say("models.folder")} onChange={(event) => setFolder(event.target.value)}>
        {(folders.value ?? [folder]).map((name) => <option key={name}>{name}</option>)}
      </select>
      {files.value?.length === 0 && <Empty>{say("models.none")}</Empty>}
      {(files.value ?? []).map((file) => (
        <button
          key={file.name} type="button" title={say("models.drag")} draggable
          onDragStart={(event) => event.dataTransfer.setData("text/plain", file.name)}
          onClick={() => void navigator.clipboard?.writeText(file.name)}
          className="rounded-md px-2 py-1 text-left hover:bg-raised"
        >
          <span className="block break-all">{file.name}</span>
          <span className="text-xs text-quiet">{sizeText(file.size_bytes, say)}</span>
        </button>
      ))}
    </div>
  );
}
