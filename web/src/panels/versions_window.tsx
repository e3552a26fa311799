/** Versions the server kept of the open workflow, and drafts this browser kept; each opens in a tab of its own. */

import { useEffect, useState } from "react";
import { Comparison } from "../app/comparison";
import type { Session } from "../app/session";
import { Drafts, type Snapshot } from "../files/drafts";
import { useSay } from "../i18n/catalogue";
import type { Json } from "../model/json";
import { parseJson } from "../model/json_text";
import { loadWorkflow } from "../model/workflow_file";
import type { Workflow } from "../server/api_types";
import { PLAIN_BUTTON, Section, Window } from "../ui/parts";

export default function VersionsWindow({ session, onClose }: { session: Session; onClose: () => void }) {
  const say = useSay();
  const { saved, tabs, active } = session.store.getState();
  const title = saved?.name ?? tabs.find((tab) => tab.id === active)?.title ?? "";
  const [versions, setVersions] = useState<readonly Workflow[]>([]);
  const [drafts, setDrafts] = useState<readonly Snapshot[]>([]);
  useEffect(() => {
    const tell = (error: unknown) => session.tell(error);
    new Drafts().history(title).then(setDrafts).catch(tell);
    if (saved === null) return;
    session.client.call("GET /workflows/{name}/versions", { path: { name: saved.name } })
      .then((found) => setVersions(found.toReversed())).catch(tell);
  }, [session, saved, title]);
  const open = async (read: () => Promise<Json>, name: string) => {
    try {
      await session.openValue(await read(), name);
      onClose();
    } catch (error) {
      session.tell(error);
    }
  };
  const compare = async (read: () => Promise<Json>, name: string) => {
    try {
      const current = session.store.getState().open;
      session.comparison.setState(new Comparison(current, loadWorkflow(await read()), name), true);
      onClose();
    } catch (error) {
      session.tell(error);
    }
  };
  const row = (key: number, text: string, time: number, name: string, read: () => Promise<Json>) => (
    <li key={key} className="flex items-center gap-2 py-1">
      <span className="flex-1">{text} <span className="text-quiet">{new Date(time).toLocaleString()}</span></span>
      <button type="button" className={PLAIN_BUTTON} onClick={() => void compare(read, text || say("versions.draft", { time: new Date(time).toLocaleString() }))}>{say("versions.compare")}</button>
      <button type="button" className={PLAIN_BUTTON} onClick={() => void open(read, name)}>{say("versions.restore")}</button>
    </li>
  );
  const none = <p className="text-quiet">{say("versions.none")}</p>;
  return (
    <Window title={say("versions.title")} onClose={onClose}>
      <Section title={say("versions.server")}>
        {versions.length === 0 && none}
        <ul>
          {versions.map((item) => row(item.version, say("versions.number", { version: item.version }), item.modified_s * 1000, `${item.name} (${item.version})`,
            async () => (await session.client.call("GET /workflows/{name}/versions/{version}", {
              path: { name: item.name, version: item.version },
            })) as Json))}
        </ul>
      </Section>
      <Section title={say("versions.drafts")}>
        {drafts.length === 0 && none}
        <ul>{drafts.map((item) => row(item.at_ms, "", item.at_ms, item.title, async () => parseJson(item.text)))}</ul>
      </Section>
    </Window>
  );
}
