/** What a node has to show: the picture it loads, the pictures it made, the text it printed. */

import type { ClipboardEvent, CSSProperties } from "react";
import { useSay } from "../i18n/catalogue";
import { choicesOf } from "../model/catalog";
import type { NodeId } from "../model/records";
import { editorText } from "../model/widget_plan";
import type { WidgetView } from "../model/widgets";
import type { NodeDesk } from "./node_desk";

export interface OutputsProps {
  readonly id: NodeId;
  readonly desk: NodeDesk;
  readonly views: readonly WidgetView[];
  readonly style: CSSProperties & { readonly height: number };
}

/** Below a folder, or in another one than the input's. */
const ELSEWHERE = /\/| \[\w+\]$/;
const MIN_PX = 40;
const MAX_PICTURES = 9;

export function NodeOutputs({ id, desk, views, style }: OutputsProps) {
  const say = useSay();
  const run = desk.runOf(id);
  if (style.height < MIN_PX) return null;
  const source = views.find((view) => view.spec?.options.image_upload === true);
  if (source !== undefined && !source.isLinked) {
    const name = editorText(source.value);
    const paste = (event: ClipboardEvent) => {
      const file = [...event.clipboardData.files].find((item) => item.type.startsWith("image/"));
      if (file === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      desk.upload(id, source.name, file);
    };
    return (
      <div className="outputs" style={style} tabIndex={0} role="img" aria-label={say("node.picture", { name })} data-own onPaste={paste}>
        {name === "" || isMissing(desk, source, name)
          ? <p>{name !== "" && `${say("node.notThere", { value: name })} `}{say("node.drop")}</p>
          : <img src={desk.inputPicture(name)} alt="" draggable={false} loading="lazy" />}
      </div>
    );
  }
  if (run === undefined) return null;
  if (run.pictures.length > 0) {
    const shown = run.pictures.slice(-MAX_PICTURES);
    const columns = Math.ceil(Math.sqrt(shown.length));
    return (
      <div className="outputs" data-many={shown.length > 1 ? "" : undefined} style={{ ...style, gridTemplateColumns: `repeat(${columns}, 1fr)` }}>
        {shown.map((asset, i) => (
          <button key={asset} type="button" data-own aria-label={say("node.pictureOf", { at: i + 1, count: shown.length })}
            onClick={() => desk.showPicture(shown, i)}>
            <img src={desk.outputPicture(asset)} alt="" draggable={false} />
          </button>
        ))}
      </div>
    );
  }
  return run.texts.length > 0 ? <pre className="outputs-text" style={style} data-own data-scrolls tabIndex={0}>{run.texts.join("\n")}</pre> : null;
}

/** Whether a file of the input folder itself is not in its list: nobody is asked for it then. */
function isMissing(desk: NodeDesk, { spec }: WidgetView, name: string): boolean {
  const known = spec === null ? null : choicesOf(spec, desk.context().listFiles);
  return known !== null && !known.includes(name) && !ELSEWHERE.test(name);
}
