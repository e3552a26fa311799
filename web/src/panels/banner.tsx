/** What people have to know at once: the server is away, wants a token, or a file is open twice. */

import { X } from "lucide-react";
import { useState } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { useSay } from "../i18n/catalogue";
import { FIELD, IconButton, MAIN_BUTTON } from "../ui/parts";

export function Banners({ session }: { session: Session }) {
  const say = useSay();
  const connection = useStore(session.store, (state) => state.connection);
  const elsewhere = useStore(session.store, (state) => state.elsewhere);
  const notice = useStore(session.store, (state) => state.notice);
  return (
    <>
      {connection === "away" && <p role="alert" className="border-b border-danger bg-raised px-3 py-1.5">{say("banner.away")}</p>}
      {connection === "locked" && <SignIn />}
      {elsewhere !== null && (
        <Closable onClose={() => session.store.setState({ elsewhere: null })} isError>{say("banner.elsewhere", { name: elsewhere })}</Closable>
      )}
      {notice !== null && connection === "there" && (
        <Closable isError={notice.isError} onClose={() => session.store.setState({ notice: null })}>{notice.text}</Closable>
      )}
    </>
  );
}

function Closable({ children, isError, onClose }: { children: string; isError: boolean; onClose: () => void }) {
  const say = useSay();
  return (
    <div role={isError ? "alert" : "status"} className={`flex items-center gap-2 border-b bg-raised py-0.5 pr-1 pl-3 ${isError ? "border-danger" : "border-line"}`}>
      <span className="min-w-0 flex-1 break-words">{children}</span>
      <IconButton label={say("app.close")} onClick={onClose}><X size={14} /></IconButton>
    </div>
  );
}

/** The token goes to the server in the address, which makes it a cookie and takes it out of the address again. */
function SignIn() {
  const say = useSay();
  const [token, setToken] = useState("");
  return (
    <form
      role="alert" className="flex flex-wrap items-center gap-2 border-b border-danger bg-raised px-3 py-1.5"
      onSubmit={(event) => {
        event.preventDefault();
        location.assign(`/?token=${encodeURIComponent(token)}`);
      }}
    >
      <label htmlFor="token">{say("banner.locked")}</label>
      <input
        id="token" type="password" autoComplete="current-password" className={`${FIELD} max-w-64`} value={token}
        placeholder={say("banner.token")} onChange={(event) => setToken(event.target.value)}
      />
      <button type="submit" className={MAIN_BUTTON} disabled={token === ""}>{say("banner.signIn")}</button>
    </form>
  );
}
