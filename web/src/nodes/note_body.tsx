/** The text of a note; Markdown is shown as what it means until somebody edits it. */

import { useEffect, useState, type CSSProperties } from "react";
import { useSay } from "../i18n/catalogue";
import type { NodeId } from "../model/records";
import { editorText } from "../model/widget_plan";
import type { WidgetView } from "../model/widgets";
import type { NodeDesk } from "./node_desk";

export interface NoteProps {
  readonly id: NodeId;
  readonly desk: NodeDesk;
  readonly view: WidgetView | undefined;
  readonly isMarkdown: boolean;
  readonly style: CSSProperties;
}

export function NoteBody({ id, desk, view, isMarkdown, style }: NoteProps) {
  const say = useSay();
  const text = editorText(view?.value);
  const isEditing = desk.editing(id) === "body";
  if (view !== undefined && (isEditing || !isMarkdown)) {
    return (
      <textarea
        className="field-text note-text" data-own data-scrolls style={style} value={text} aria-label={say("node.noteText")}
        autoFocus={isEditing} onChange={(event) => desk.setWidget(id, view.name, event.target.value)}
        onBlur={() => isEditing && desk.edit(id, null)}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      />
    );
  }
  return <Rendered text={text} style={style} />;
}

function Rendered({ text, style }: { text: string; style: CSSProperties }) {
  const [html, setHtml] = useState<{ readonly of: string; readonly html: string } | null>(null);
  useEffect(() => {
    let isWanted = true;
    void import("./markdown").then(({ safeHtml }) => isWanted && setHtml({ of: text, html: safeHtml(text) }));
    return () => void (isWanted = false);
  }, [text]);
  if (html?.of !== text) return <div className="note" style={style}>{text}</div>;
  return <div className="note" style={style} dangerouslySetInnerHTML={{ __html: html.html }} />;
}
