/** A template as a picture of what it makes, or of its graph, over its name. */

import { useEffect, useState } from "react";
import { drawTemplate, type Drawing, type Template } from "../files/templates";
import type { Client } from "../server/client";

interface CardProps {
  readonly client: Client;
  readonly template: Template;
  readonly onOpen: () => void;
}

export function TemplateCard({ client, template, onOpen }: CardProps) {
  const [isBroken, setBroken] = useState(false);
  return (
    <button
      type="button" onClick={onOpen}
      className="flex flex-col overflow-hidden rounded-lg border border-line bg-raised text-left hover:border-accent"
    >
      {template.picture === null || isBroken
        ? <Miniature client={client} template={template} />
        : <img src={template.picture} alt="" loading="lazy" decoding="async" className="aspect-4/3 w-full object-cover" onError={() => setBroken(true)} />}
      <span className="px-2 py-1.5 font-medium">{template.title}</span>
    </button>
  );
}

/** The nodes of a template as boxes at their places, once they are known. */
function Miniature({ client, template }: Pick<CardProps, "client" | "template">) {
  const [{ boxes, view }, setDrawing] = useState<Drawing>({ boxes: [], view: "0 0 1 1" });
  useEffect(() => {
    // One that cannot be drawn can still be opened, and says then what is wrong with it.
    drawTemplate(client, template).then(setDrawing).catch(() => undefined);
  }, [client, template]);
  return (
    <svg viewBox={view} aria-hidden className="aspect-4/3 w-full bg-canvas p-1.5">
      {boxes.map((box, i) => (
        <rect
          key={i} x={box.x} y={box.y} width={box.width} height={box.height} rx={12}
          className={box.isNote ? "fill-line" : "fill-quiet"} opacity={box.isNote ? 0.7 : 0.55}
        />
      ))}
    </svg>
  );
}
