/** One node as DOM: title, sockets, widgets, what it showed, what is wrong. All places come from its shape. */

import { memo, useCallback, useSyncExternalStore, type CSSProperties, type DragEvent } from "react";
import { METRICS, type NodeShape, type SocketSpot } from "../geometry/node_shape";
import { fieldOn, inLight, onPage, textOn, typeColor } from "../canvas/theme";
import { useSay } from "../i18n/catalogue";
import { colorOf, flagOf, isInstance, isKnownNode, modeOf, titleOf } from "../model/node_reading";
import { MODE, NOTE_TYPES, type NodeId, type NodeRecord } from "../model/records";
import { widgetsOf, type WidgetView } from "../model/widgets";
import { NoteBody } from "./note_body";
import type { NodeDesk, Trouble } from "./node_desk";
import { LivePreview } from "./live_preview";
import { NodeOutputs } from "./outputs";
import { Widget } from "./widget";

export interface BodyProps {
  readonly id: NodeId;
  readonly desk: NodeDesk;
}

export const NodeBody = memo(function NodeBody({ id, desk }: BodyProps) {
  useSyncExternalStore(
    useCallback((listener) => desk.subscribe(id, listener), [desk, id]),
    () => desk.versionOf(id),
  );
  const say = useSay();
  const host = useCallback((element: HTMLElement | null) => desk.register(id, element), [desk, id]);
  const placed = desk.placed(id);
  const record = desk.record(id);
  if (placed === undefined || record === undefined) return null;
  const { shape } = placed;
  const { catalog, document } = desk.context();
  const title = titleOf(record, catalog, document);
  const isKnown = catalog.specs.size === 0 || isKnownNode(record, catalog, document);
  const body = colorOf(record, "bgcolor");
  const views = shape.kind === "node" ? widgetsOf(desk.context(), desk.graph(), record) : [];
  const trouble = desk.troubleOf(id);
  const mode = modeOf(record);
  const style = { width: shape.width, height: shape.outer.height, top: shape.outer.y, ...(body === null ? {} : { background: onPage(body) }) };
  return (
    <div
      ref={host} className="node" role="group" aria-label={title} data-node={id} style={body === null ? undefined : onBody(body)}
      data-mode={mode === MODE.muted ? "muted" : mode === MODE.bypassed ? "bypassed" : undefined}
      data-unknown={isKnown ? undefined : ""} data-pinned={flagOf(record, "pinned") ? "" : undefined}
      {...dropProps(desk, id, views)}
    >
      <div className="node-frame" style={style}>
        <Title desk={desk} id={id} record={record} title={title} shape={shape} />
        {!isKnown && shape.kind === "node" && <p className="node-unknown" title={say("node.unknown", { type: String(record.type) })}>{say("node.unknown", { type: String(record.type) })}</p>}
      </div>
      <Sockets shape={shape} trouble={trouble} />
      {shape.kind === "node" && <Rows desk={desk} id={id} record={record} shape={shape} views={views} />}
      {trouble !== null && (
        <div className="node-trouble" role="note" style={{ top: shape.height + 8, width: shape.width }}>
          <strong>{trouble.message}</strong>
          {trouble.remedy !== "" && <span>{trouble.remedy}</span>}
        </div>
      )}
    </div>
  );
});

/** Colours of everything on a body that has a colour of its own. */
function onBody(color: string): CSSProperties {
  const text = inBoth(textOn, color);
  return { color: text, "--quiet": text, "--field": inBoth(fieldOn, color) } as CSSProperties;
}

/** What follows from a colour of a file, in the light and in the dark theme. */
function inBoth(of: (color: string) => string, color: string): string {
  const [light, dark] = [of(inLight(color)), of(color)];
  return light === dark ? dark : `light-dark(${light}, ${dark})`;
}

function Title({ desk, id, record, title, shape }: BodyProps & { record: NodeRecord; title: string; shape: NodeShape }) {
  const say = useSay();
  const color = colorOf(record);
  const style = { height: shape.titleHeight, ...(color === null ? {} : { background: onPage(color), color: inBoth(textOn, color) }) };
  const isInner = isInstance(record, desk.context().document);
  if (desk.editing(id) === "title") {
    return (
      <input
        className="node-title-input" data-own autoFocus defaultValue={title} aria-label={say("node.title")} style={style}
        onFocus={(event) => event.target.select()}
        onBlur={(event) => {
          if (event.target.value.trim() !== title) desk.setTitle(id, event.target.value.trim());
          desk.edit(id, null);
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") event.currentTarget.value = title;
          if (event.key === "Enter" || event.key === "Escape") event.currentTarget.blur();
        }}
      />
    );
  }
  return (
    <div className="node-title" style={style}>
      <span>{title}</span>
      {isInner && <em className="node-mark">{say("node.subgraph")}</em>}
      {modeOf(record) === MODE.bypassed && <em className="node-mark">{say("node.bypassed")}</em>}
      {modeOf(record) === MODE.muted && <em className="node-mark">{say("node.muted")}</em>}
      {flagOf(record, "pinned") && <em className="node-mark">{say("node.pinned")}</em>}
    </div>
  );
}

function Sockets({ shape, trouble }: { shape: NodeShape; trouble: Trouble | null }) {
  const named = shape.kind === "node";
  return [...shape.inputs, ...shape.outputs].map((spot) => (
    <Socket key={`${spot.side}${spot.slot}`} spot={spot} named={named} width={shape.width}
      isFaulty={spot.side === "input" && trouble?.input === spot.name} />
  ));
}

function Socket({ spot, named, width, isFaulty }: { spot: SocketSpot; named: boolean; width: number; isFaulty: boolean }) {
  const size = 2 * (spot.widget === null ? METRICS.socketRadius : METRICS.socketRadius - 1.5);
  const isLeft = spot.side === "input";
  const label = { top: spot.y - 10, maxWidth: width * 0.6, ...(isLeft ? { left: 14 } : { right: "auto", left: width - 14, transform: "translateX(-100%)" }) };
  return (
    <>
      <i
        className="socket" data-faulty={isFaulty ? "" : undefined} title={`${spot.name}: ${spot.type === "" ? "*" : spot.type}`}
        style={{ left: spot.x - size / 2, top: spot.y - size / 2, width: size, height: size, background: typeColor(spot.type) }}
      />
      {named && spot.widget === null && <span className="socket-name" style={label}>{spot.name}</span>}
    </>
  );
}

interface RowsProps extends BodyProps {
  readonly record: NodeRecord;
  readonly shape: NodeShape;
  readonly views: readonly WidgetView[];
}

function Rows({ desk, id, record, shape, views }: RowsProps) {
  const last = shape.rows.at(-1);
  const end = last === undefined ? lowestSocket(shape) : last.y + last.height;
  const box = { left: METRICS.padding, width: shape.width - 2 * METRICS.padding };
  if (NOTE_TYPES.has(String(record.type))) {
    return <NoteBody desk={desk} id={id} view={views[0]} isMarkdown={record.type === "MarkdownNote"}
      style={{ ...box, top: METRICS.gap, height: shape.height - 2 * METRICS.padding }} />;
  }
  return (
    <>
      {shape.rows.map((row, i) => {
        const view = views[i];
        return view === undefined ? null : (
          <div key={row.name} className="row" style={{ ...box, top: row.y, height: row.height }}>
            <Widget desk={desk} id={id} view={view} />
          </div>
        );
      })}
      <LivePreview desk={desk} id={id} shape={shape} end={end} />
      <NodeOutputs desk={desk} id={id} views={views} style={{ ...box, top: end + 4, height: Math.max(0, shape.height - end - 8) }} />
    </>
  );
}

function lowestSocket(shape: NodeShape): number {
  return Math.max(METRICS.gap, ...[...shape.inputs, ...shape.outputs].map((spot) => spot.y + METRICS.socketRow / 2));
}

/** Files and links to pictures of this server that are dropped on a node with a picture widget go there. */
function dropProps(desk: NodeDesk, id: NodeId, views: readonly WidgetView[]) {
  const target = views.find((view) => view.spec?.options.image_upload === true);
  if (target === undefined) return {};
  return {
    onDragOver: (event: DragEvent) => {
      event.preventDefault();
      event.stopPropagation();
    },
    onDrop: (event: DragEvent) => {
      const [file] = event.dataTransfer.files;
      if (desk.takeLink(id, target.name, event.dataTransfer.getData("text/uri-list"))) {
        event.preventDefault();
        event.stopPropagation();
        return;
      }
      if (file === undefined || !file.type.startsWith("image/")) return;
      event.preventDefault();
      event.stopPropagation();
      desk.upload(id, target.name, file);
    },
  };
}
