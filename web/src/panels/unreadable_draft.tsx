/** What was kept of a tab and is no workflow any more: why, and its text as it is. */

import { Download } from "lucide-react";
import type { Session } from "../app/session";
import type { Tab } from "../app/tab";
import { useSay } from "../i18n/catalogue";
import { MAIN_BUTTON, PLAIN_BUTTON } from "../ui/parts";
import { giveFile } from "./exporting";

const SHOWN = 4000;

export default function UnreadableDraft({ session, tab }: { session: Session; tab: Tab }) {
  const say = useSay();
  const { text, reason } = tab.unreadable ?? { text: "", reason: "" };
  const name = tab.title || say("bar.untitled");
  const download = () => giveFile(`${name.split("/").at(-1)}.txt`, new Blob([text], { type: "text/plain" }));
  return (
    <section aria-labelledby="unreadable" className="absolute inset-0 z-10 flex flex-col items-center overflow-auto bg-canvas p-4">
      <div role="alert" className="my-auto flex w-full max-w-2xl flex-col gap-3 rounded-xl border border-line bg-surface p-5 max-md:p-4">
        <h2 id="unreadable" className="text-base font-semibold break-words">{say("unreadable.title", { name })}</h2>
        <p>{say("unreadable.text")}</p>
        <p className="break-words text-quiet">{reason}</p>
        <pre
          tabIndex={0} aria-label={say("unreadable.kept")}
          className="max-h-64 overflow-auto rounded-md border border-line bg-canvas p-2 font-mono text-xs break-all whitespace-pre-wrap"
        >
          {text.slice(0, SHOWN)}{text.length > SHOWN && "…"}
        </pre>
        <div className="flex flex-wrap justify-end gap-2">
          <button type="button" className={PLAIN_BUTTON} onClick={() => session.closeTab(tab.id)}>{say("unreadable.close")}</button>
          <button type="button" className={MAIN_BUTTON} onClick={download}><Download size={14} />{say("unreadable.download")}</button>
        </div>
      </div>
    </section>
  );
}
