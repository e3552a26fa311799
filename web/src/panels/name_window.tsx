/** Asks for a name. */

import { useId, useState } from "react";
import { useSay } from "../i18n/catalogue";
import { FIELD, MAIN_BUTTON, PLAIN_BUTTON, Window } from "../ui/parts";

interface NameProps {
  readonly title: string;
  readonly first: string;
  readonly mayBeEmpty: boolean;
  readonly onDone: (name: string) => void;
  readonly onClose: () => void;
}

export default function NameWindow({ title, first, mayBeEmpty, onDone, onClose }: NameProps) {
  const say = useSay();
  const id = useId();
  const [name, setName] = useState(first);
  return (
    <Window title={title} onClose={onClose} className="w-96">
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          onClose();
          onDone(name.trim());
        }}
      >
        <label className="text-xs text-quiet" htmlFor={id}>{say("save.name")}</label>
        <input id={id} className={FIELD} value={name} autoFocus onFocus={(event) => event.target.select()} onChange={(event) => setName(event.target.value)} />
        <div className="flex justify-end gap-2">
          <button type="button" className={PLAIN_BUTTON} onClick={onClose}>{say("app.cancel")}</button>
          <button type="submit" className={MAIN_BUTTON} disabled={!mayBeEmpty && name.trim() === ""}>{say("save.submit")}</button>
        </div>
      </form>
    </Window>
  );
}
