/** Opens what people drop on the page or pick: workflow files, and pictures and latents that carry one. */

import type { Session } from "../app/session";
import { fileBehind } from "../files/dropped_link";
import { UnreadableFile, workflowIn } from "../files/reading";
import { sayNow } from "../i18n/catalogue";

export async function openFiles(session: Session, files: readonly File[]): Promise<void> {
  for (const file of files) await openData(session, new Uint8Array(await file.arrayBuffer()), file.name);
}

export async function openData(session: Session, data: Uint8Array, name: string): Promise<void> {
  try {
    await session.openValue(workflowIn(data, name), name.replace(/\.\w+$/, ""));
  } catch (error) {
    if (!(error instanceof UnreadableFile)) throw error;
    session.say(sayNow()(error.reason, { name }), true);
  }
}

/** Opens the workflow behind a link of this server. */
export async function openLink(session: Session, link: string): Promise<void> {
  try {
    await openFiles(session, [await fileBehind(session.client, link)]);
  } catch (error) {
    session.tell(error);
  }
}

/** The graph that made an output, out of its file. */
export async function openGraphOf(session: Session, asset: string, name: string): Promise<void> {
  try {
    const blob = await session.client.call("GET /assets/{asset}", { path: { asset } });
    await openData(session, new Uint8Array(await blob.arrayBuffer()), name);
  } catch (error) {
    session.tell(error);
  }
}
