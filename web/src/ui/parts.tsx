/** Small parts every panel is made of. */

import { Dialog } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import type { ButtonHTMLAttributes, ReactNode } from "react";
import { useSay } from "../i18n/catalogue";

export const FIELD =
  "w-full min-w-0 rounded-md border border-line bg-canvas px-2 py-1 text-text placeholder:text-quiet hover:border-quiet";
export const PLAIN_BUTTON =
  "inline-flex items-center justify-center gap-1.5 rounded-md border border-line bg-raised px-2.5 py-1 " +
  "hover:border-accent disabled:pointer-events-none disabled:opacity-40";
export const MAIN_BUTTON =
  "inline-flex items-center justify-center gap-1.5 rounded-md bg-accent px-3 py-1 font-semibold text-on-accent " +
  "hover:brightness-110 disabled:pointer-events-none disabled:opacity-40";
const ICON_BUTTON =
  "inline-flex size-8 shrink-0 items-center justify-center rounded-md text-quiet hover:bg-raised hover:text-text " +
  "aria-pressed:bg-raised aria-pressed:text-accent disabled:pointer-events-none disabled:opacity-40";

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly label: string;
}

/** A button that is only a picture: its name is for screen readers and for the pointer that rests on it. */
export function IconButton({ label, className = "", ...rest }: IconButtonProps) {
  return <button type="button" aria-label={label} title={label} className={`${ICON_BUTTON} ${className}`} {...rest} />;
}

interface WindowProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
  readonly className?: string;
}

/** A dialog over the page. It takes the focus and gives it back; escape closes it. */
export function Window({ title, onClose, children, className = "w-[32rem]" }: WindowProps) {
  const say = useSay();
  return (
    <Dialog.Root open onOpenChange={(isOpen) => !isOpen && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40 bg-black/50" />
        <Dialog.Popup
          className={`fixed top-1/2 left-1/2 z-50 flex max-h-[90dvh] max-w-[calc(100vw-1rem)] -translate-1/2 flex-col overflow-hidden rounded-xl border border-line bg-surface text-text shadow-2xl ${className}`}
        >
          <header className="flex items-center gap-2 border-b border-line py-1.5 pr-1.5 pl-4">
            <Dialog.Title className="min-w-0 flex-1 truncate text-sm font-semibold">{title}</Dialog.Title>
            <Dialog.Close render={<IconButton label={say("app.close")} />}><X size={16} /></Dialog.Close>
          </header>
          <div className="min-h-0 flex-1 overflow-auto p-4">{children}</div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

/** A part of a panel under a heading. */
export function Section({ title, children, actions }: { title: string; children: ReactNode; actions?: ReactNode }) {
  return (
    <section className="flex flex-col gap-2 px-3 py-2" aria-label={title}>
      <div className="flex min-h-8 items-center gap-1">
        <h3 className="flex-1 text-xs font-semibold text-quiet">{title}</h3>
        {actions}
      </div>
      {children}
    </section>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="px-3 py-6 text-center text-quiet">{children}</p>;
}
