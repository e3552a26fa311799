/** Composition root: makes the editor's session and shows it. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/app";
import { Autosave } from "./app/autosave";
import { Session } from "./app/session";
import { Drafts } from "./files/drafts";
import { Client } from "./server/client";
import { applyPreferences, keymapOf, preferences } from "./settings/preferences";
import "./style.css";

applyPreferences(document.documentElement);
const session = new Session(new Client(), { nowMs: () => performance.now(), random: Math.random });
session.keymap = keymapOf(preferences.getState().keys);
preferences.subscribe(({ keys }) => void (session.keymap = keymapOf(keys)));
createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App session={session} />
  </StrictMode>,
);

// The node types first: drafts are read with them.
await session.start(null);
await new Autosave(session, new Drafts()).start();
const wanted = new URLSearchParams(location.search).get("workflow");
if (wanted !== null) await session.openSaved(wanted);
