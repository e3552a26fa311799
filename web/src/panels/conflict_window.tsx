/** Somebody else has saved the same file: nothing is replaced until people say so. */

import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { readWorkflow } from "../server/workflows";
import { MAIN_BUTTON, PLAIN_BUTTON, Window } from "../ui/parts";

export default function ConflictWindow({ session, name, etag }: { session: Session; name: string; etag: string }) {
  const say = useSay();
  const close = () => session.store.setState({ conflict: null });
  const openTheirs = async () => {
    close();
    try {
      const { document } = await readWorkflow(session.client, name);
      await session.openValue(document, name);
    } catch (error) {
      session.tell(error);
    }
  };
  return (
    <Window title={say("conflict.title", { name })} onClose={close}>
      <p className="mb-4">{say("conflict.text")}</p>
      <div className="flex flex-wrap justify-end gap-2">
        <button type="button" className={PLAIN_BUTTON} onClick={() => void openTheirs()}>{say("conflict.open")}</button>
        <button type="button" className={PLAIN_BUTTON} disabled={etag === ""} onClick={() => void session.saveOver(name, etag)}>{say("conflict.replace")}</button>
        <button type="button" className={MAIN_BUTTON} onClick={() => { close(); session.askName(); }}>{say("conflict.copy")}</button>
      </div>
    </Window>
  );
}
