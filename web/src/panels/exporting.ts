/** Gives the open workflow to the browser as a file. */

import type { Session } from "../app/session";
import { compileWorkflow } from "../model/compile/compile";
import type { Json } from "../model/json";
import { writeJson } from "../model/json_text";
import { saveWorkflow } from "../model/workflow_file";

const REVOKE_AFTER_MS = 10_000;

export function exportFile(session: Session, kind: "workflow" | "api"): void {
  const { open, saved, catalog, tabs, active } = session.store.getState();
  const name = saved?.name.split("/").at(-1) ?? tabs.find((tab) => tab.id === active)?.title ?? "";
  const context = { catalog, listFiles: session.files.list, random: Math.random, now: new Date() };
  try {
    const value = kind === "workflow" ? saveWorkflow(open.document) : compileWorkflow(open.document, context);
    const text = writeJson(value as unknown as Json, 2);
    giveFile(`${name || "workflow"}${kind === "api" ? "_api" : ""}.json`, new Blob([text], { type: "application/json" }));
  } catch (error) {
    session.tell(error);
  }
}

/** Offers data for saving under a name. */
export function giveFile(name: string, data: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_AFTER_MS);
}
