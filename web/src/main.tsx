/** Composition root: makes the editor's session and shows it. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/app";
import { Autosave } from "./app/autosave";
import { Session } from "./app/session";
import { Drafts } from "./files/drafts";
import { Client } from "./server/client";
import { sharedSettings } from "./server/shared_settings";
import { applyPreferences, keymapOf, localSettings, preferences } from "./settings/preferences";
import { PreferenceSharing } from "./settings/shared_preferences";
import "./style.css";

applyPreferences(document.documentElement);
const session = new Session(new Client(), { nowMs: () => performance.now(), random: Math.random });
session.keymap = keymapOf(preferences.getState().keys);
preferences.subscribe(({ keys }) => void (session.keymap = keymapOf(keys)));
session.store.setState({ isRestoring: true });
const root = document.getElementById("root") as HTMLElement;
root.ariaBusy = "true";
createRoot(root).render(
  <StrictMode>
    <App session={session} />
  </StrictMode>,
);

const sharing = new PreferenceSharing(preferences, {
  shared: sharedSettings(session.client), storage: localSettings(), nowMs: () => Date.now(),
});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && void sharing.meet());
session.store.subscribe(({ connection }, before) => connection === "there" && before.connection !== "there" && void sharing.meet());
void sharing.meet();

// The node types first: drafts are read with them.
await session.start(null);
await new Autosave(session, new Drafts()).start(new URLSearchParams(location.search).get("workflow")).finally(() => {
  session.store.setState({ isRestoring: false });
  root.ariaBusy = "false";
});
