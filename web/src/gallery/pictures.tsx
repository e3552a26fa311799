/** Pictures of the server by their ids, in the lightbox. */

import { useEffect, useState } from "react";
import type { Session } from "../app/session";
import type { Asset } from "../server/api_types";
import Lightbox from "./lightbox";

interface PicturesProps {
  readonly session: Session;
  readonly ids: readonly string[];
  /** Which of them is shown first. */
  readonly at: number;
  readonly onClose: () => void;
}

export default function Pictures({ session, ids, at, onClose }: PicturesProps) {
  const [assets, setAssets] = useState<readonly Asset[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    const ask = (asset: string) => session.client.call("GET /assets/{asset}/facts", { path: { asset }, signal: stop.signal });
    Promise.all(ids.map(ask)).then(setAssets).catch((error: unknown) => {
      if (stop.signal.aborted) return;
      session.tell(error);
      onClose();
    });
    return () => stop.abort();
    // `onClose` is new at every rendering.
  }, [session, ids]);
  const first = assets[at] ?? assets[0];
  return first === undefined ? null : <Lightbox session={session} assets={assets} first={first} onClose={onClose} />;
}
