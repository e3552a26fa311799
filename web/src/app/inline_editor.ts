/** A field above the canvas for a text that is drawn there. */

export interface FieldPlace {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/** Asks for a text in place; `commit` gets it when it was changed and not given up. */
export function askInPlace(
  host: HTMLElement, place: FieldPlace, label: string, text: string, commit: (text: string) => void,
): void {
  const field = document.createElement("input");
  field.className = "inline-editor";
  field.dataset.own = "";
  field.value = text;
  field.setAttribute("aria-label", label);
  Object.assign(field.style, { left: `${place.x}px`, top: `${place.y}px`, width: `${Math.max(160, Math.min(place.width, 400))}px` });
  const end = () => {
    const next = field.value.trim();
    field.remove();
    if (next !== text) commit(next);
  };
  field.addEventListener("blur", end, { once: true });
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") field.value = text;
    if (event.key === "Enter" || event.key === "Escape") host.focus();
  });
  host.append(field);
  field.focus();
  field.select();
}
