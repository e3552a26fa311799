/** A template as a picture of what it makes, or of its graph, over its name and what it lacks here. */

import { FileWarning } from "lucide-react";
import { useEffect, useState } from "react";
import { typeColor } from "../canvas/theme";
import { drawTemplate, NO_DRAWING, type Template } from "../files/templates";
import { useSay } from "../i18n/catalogue";
import type { Client } from "../server/client";

interface CardProps {
  readonly client: Client;
  readonly template: Template;
  /** Names of weight files this server does not have. */
  readonly lacks?: readonly string[];
  readonly onOpen: () => void;
}

export function TemplateCard({ client, template, lacks = [], onOpen }: CardProps) {
  const say = useSay();
  const [isBroken, setBroken] = useState(false);
  return (
    <button
      type="button" onClick={onOpen} title={lacks.join("\n") || undefined}
      aria-description={lacks.length > 0 ? say("template.lacks", { names: lacks.join(", ") }) : undefined}
      className="flex flex-col overflow-hidden rounded-lg border border-line bg-raised text-left hover:border-accent"
    >
      {template.picture === null || isBroken
        ? <Miniature client={client} template={template} />
        : <img src={template.picture} alt="" loading="lazy" decoding="async" className="aspect-4/3 w-full object-cover" onError={() => setBroken(true)} />}
      <span className="px-2 py-1.5 leading-tight font-medium">{template.title}</span>{" "}
      {lacks.length > 0 && (
        <span className="flex items-center gap-1 px-2 pb-1.5 text-xs whitespace-nowrap text-quiet">
          <FileWarning size={13} className="shrink-0" />{say("template.missing", { count: lacks.length })}
        </span>
      )}
    </button>
  );
}

/** The nodes of a template as boxes at their places with their links, once they are known. */
function Miniature({ client, template }: Pick<CardProps, "client" | "template">) {
  const [{ boxes, lines, view }, setDrawing] = useState(NO_DRAWING);
  useEffect(() => {
    // One that cannot be drawn can still be opened, and says then what is wrong with it.
    drawTemplate(client, template).then(setDrawing).catch(() => undefined);
  }, [client, template]);
  return (
    <svg viewBox={view} aria-hidden className="aspect-4/3 w-full bg-canvas p-1.5">
      {lines.map(({ x1, y1, x2, y2, type }, i) => {
        const reach = Math.max(40, Math.abs(x2 - x1) * 0.4);
        return (
          <path
            key={i} d={`M${x1} ${y1}C${x1 + reach} ${y1} ${x2 - reach} ${y2} ${x2} ${y2}`}
            fill="none" stroke={typeColor(type)} strokeWidth={2} vectorEffect="non-scaling-stroke" opacity={0.8}
          />
        );
      })}
      {boxes.map((box, i) => (
        <rect
          key={i} x={box.x} y={box.y} width={box.width} height={box.height} rx={12} vectorEffect="non-scaling-stroke"
          className={box.isNote ? "fill-surface stroke-line" : "fill-raised stroke-quiet"}
        />
      ))}
    </svg>
  );
}
