/** Composition root: makes the editor's session and shows it. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/app";
import { Session } from "./app/session";
import { Client } from "./server/client";
import "./style.css";

const session = new Session(new Client(), { nowMs: () => performance.now(), random: Math.random });
createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App session={session} />
  </StrictMode>,
);
void session.start(new URLSearchParams(location.search).get("workflow"));
