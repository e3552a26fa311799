/** An unfinished picture large, as it changes; at the end of its job what became of it. */

import { useState, useSyncExternalStore } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import type { OpenDocument } from "../model/open_document";
import type { NodeId } from "../model/records";
import { previewAddress } from "../server/workflows";
import { Window } from "../ui/parts";
import { ZoomedPicture } from "./zoomed_picture";

interface LiveWindowProps {
  readonly session: Session;
  readonly document: OpenDocument;
  readonly node: NodeId;
  readonly onClose: () => void;
}

export default function LiveWindow({ session, document, node, onClose }: LiveWindowProps) {
  const say = useSay();
  const [subscribe] = useState(() => (listener: () => void) => session.board.subscribe(listener));
  const preview = useSyncExternalStore(subscribe, () => session.board.of(document).nodes.get(node)?.preview ?? null);
  const run = useStore(session.store, (state) => state.run);
  const [last, setLast] = useState("");
  const now = preview === null ? "" : previewAddress(preview);
  if (now !== "" && now !== last) setLast(now);
  const made = run?.document === document && run.state === "ended" ? run.pictures.at(-1) : undefined;
  const url = made === undefined ? now || last : `/api/v1/assets/${encodeURIComponent(made)}`;
  return (
    <Window title={say(made === undefined ? "run.preview" : "run.picture")} className="h-[90dvh] w-[90dvw]" onClose={onClose}>
      <div className="relative size-full">{url !== "" && <ZoomedPicture url={url} alt={say("run.preview")} />}</div>
    </Window>
  );
}
