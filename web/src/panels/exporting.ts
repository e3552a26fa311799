/** Gives the open workflow to the browser as a file. */

import type { Session } from "../app/session";
import { compileWorkflow } from "../model/compile/compile";
import type { Json } from "../model/json";
import { writeJson } from "../model/json_text";
import { saveWorkflow } from "../model/workflow_file";

const REVOKE_AFTER_MS = 10_000;

export function exportFile(session: Session, kind: "workflow" | "api"): void {
  const { open, catalog } = session.store.getState();
  const context = { catalog, listFiles: session.files.list, random: Math.random, now: new Date() };
  try {
    const value = kind === "workflow" ? saveWorkflow(open.document) : compileWorkflow(open.document, context);
    const text = writeJson(value as unknown as Json, 2);
    giveFile(`${fileName(session)}${kind === "api" ? "_api" : ""}.json`, new Blob([text], { type: "application/json" }));
  } catch (error) {
    session.tell(error);
  }
}

/** Gives a picture of the shown graph that opens again as the workflow. */
export async function exportPicture(session: Session, kind: "png" | "svg"): Promise<void> {
  try {
    const { graphPng, graphSvg } = await import("../app/graph_picture");
    giveFile(`${fileName(session)}.${kind}`, await (kind === "png" ? graphPng(session) : graphSvg(session)));
  } catch (error) {
    session.tell(error);
  }
}

/** What the open workflow is called, without folders and ending. */
function fileName(session: Session): string {
  const { saved, tabs, active } = session.store.getState();
  return (saved?.name.split("/").at(-1) ?? tabs.find((tab) => tab.id === active)?.title) || "workflow";
}

/** Offers data for saving under a name. */
export function giveFile(name: string, data: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_AFTER_MS);
}
