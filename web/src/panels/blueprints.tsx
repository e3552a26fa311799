/** Subgraphs kept on the server; a click puts one into the shown graph. */

import { useStore } from "zustand";
import type { Session } from "../app/session";
import { BLUEPRINTS, insertBlueprint } from "../app/subgraph_commands";
import { useSay } from "../i18n/catalogue";

export function Blueprints({ session, onInserted }: { session: Session; onInserted: () => void }) {
  const say = useSay();
  const workflows = useStore(session.store, (state) => state.workflows);
  const found = workflows.filter((item) => item.name.startsWith(BLUEPRINTS));
  if (found.length === 0) return null;
  const insert = (path: string) => void insertBlueprint(session, path).then(onInserted).catch((error: unknown) =>
    session.tell(error));
  return (
    <details open>
      <summary className="cursor-default rounded-md px-2 py-1 hover:bg-raised">{say("blueprint.title")}</summary>
      <ul className="ml-3 border-l border-line pl-1">
        {found.map((item) => {
          const name = item.name.slice(BLUEPRINTS.length);
          return (
            <li key={item.name}>
              <button
                type="button" aria-label={say("blueprint.insert", { name })} onClick={() => insert(item.name)}
                className="block w-full truncate rounded-md px-2 py-1 text-left hover:bg-raised"
              >
                {name}
              </button>
            </li>
          );
        })}
      </ul>
    </details>
  );
}
