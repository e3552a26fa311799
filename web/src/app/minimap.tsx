/** The corner of the canvas with the map of the graph, or the button that brings it back. Not on phones, nor of nothing. */

import { Map as MapIcon, X } from "lucide-react";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { useStore } from "zustand";
import { useSay } from "../i18n/catalogue";
import { preferences } from "../settings/preferences";
import { useIsEmpty } from "../ui/hooks";
import { IconButton } from "../ui/parts";
import { MAP_SIZE } from "./map_view";
import type { Session } from "./session";

const ROOM = "(min-width: 48rem) and (min-height: 30rem)";

function watchRoom(changed: () => void): () => void {
  const query = matchMedia(ROOM);
  query.addEventListener("change", changed);
  return () => query.removeEventListener("change", changed);
}

export function Minimap({ session }: { session: Session }) {
  const say = useSay();
  const isShown = useStore(preferences, (state) => state.showsMap);
  const hasRoom = useSyncExternalStore(watchRoom, () => matchMedia(ROOM).matches);
  const isEmpty = useIsEmpty(useStore(session.store, (state) => state.open));
  if (!hasRoom || isEmpty) return null;
  const show = (showsMap: boolean) => preferences.setState({ showsMap });
  if (!isShown) {
    return (
      <div className="absolute bottom-3 left-3 z-10 rounded-md border border-line bg-surface">
        <IconButton label={say("map.show")} onClick={() => show(true)}><MapIcon size={16} /></IconButton>
      </div>
    );
  }
  return (
    <section aria-label={say("map.label")} className="group absolute bottom-3 left-3 z-10 overflow-hidden rounded-lg border border-line bg-canvas shadow-lg">
      <Chart session={session} />
      <IconButton
        label={say("map.hide")} onClick={() => show(false)}
        className="absolute top-0 right-0 size-6! bg-surface/80 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 focus-visible:opacity-100"
      >
        <X size={13} />
      </IconButton>
    </section>
  );
}

/** Mounted once, never rendered again: what is in it belongs to the canvas. */
function Chart({ session }: { session: Session }) {
  const say = useSay();
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => session.desk?.showMap(element.current as HTMLDivElement), [session]);
  return (
    <div
      ref={element} role="application" tabIndex={0} aria-label={say("map.about")} style={MAP_SIZE}
      className="map relative cursor-pointer touch-none overflow-hidden focus-visible:outline-offset-[-2px]"
    />
  );
}
