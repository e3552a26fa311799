/** Saved workflows and templates. */

import { Trash2 } from "lucide-react";
import { useEffect, useState } from "react";
import { useStore } from "zustand";
import type { Session } from "../app/session";
import { BLUEPRINTS } from "../app/subgraph_commands";
import { lackingFiles, ownTemplates, packTemplates, readTemplate, type Template } from "../files/templates";
import { useSay } from "../i18n/catalogue";
import { listWorkflows } from "../server/workflows";
import { Empty, IconButton, Section } from "../ui/parts";
import { TemplateCard } from "./template_card";

export default function WorkflowPanel({ session, onClose }: { session: Session; onClose: () => void }) {
  const say = useSay();
  const all = useStore(session.store, (state) => state.workflows);
  const workflows = all.filter((item) => !item.name.startsWith(BLUEPRINTS));
  const [templates, setTemplates] = useState<readonly Template[]>(ownTemplates);
  const [lacks, setLacks] = useState<ReadonlyMap<string, readonly string[]>>(new Map());
  const catalog = useStore(session.store, (state) => state.catalog);
  useEffect(() => void packTemplates(session.client).then((found) => setTemplates([...ownTemplates(), ...found])), [session]);
  useEffect(() => {
    let isOver = false;
    if (catalog.specs.size === 0) return undefined;
    lackingFiles(session.client, catalog, session.files, templates).then((found) => void (isOver || setLacks(found)), () => undefined);
    return () => void (isOver = true);
  }, [session, catalog, templates]);
  const shown = () => !matchMedia("(min-width: 48rem)").matches && onClose();
  const openTemplate = async (template: Template) => {
    try {
      await session.openValue(await readTemplate(session.client, template), template.title);
      shown();
    } catch (error) {
      session.tell(error);
    }
  };
  const remove = async (name: string, etag: string) => {
    try {
      await session.client.call("DELETE /workflows/{name}", { path: { name }, headers: { "If-Match": `"${etag}"` } });
      session.store.setState({ workflows: await listWorkflows(session.client) });
    } catch (error) {
      session.tell(error);
    }
  };
  return (
    <>
      <Section title={say("workflows.templates")}>
        <div className="grid grid-cols-2 gap-2">
          {templates.map((template) => (
            <TemplateCard key={template.url} client={session.client} template={template} lacks={lacks.get(template.url)} onOpen={() => void openTemplate(template)} />
          ))}
        </div>
      </Section>
      <Section title={say("workflows.saved")}>
        {workflows.length === 0 && <Empty>{say("workflows.none")}</Empty>}
        {workflows.map((item) => (
          <div key={item.name} className="group flex items-center rounded-md hover:bg-raised">
            <button
              type="button" className="min-w-0 flex-1 truncate px-2 py-1 text-left"
              onClick={() => void session.openSaved(item.name).then(shown)}
            >
              {item.name}
              <span className="block text-xs text-quiet">{new Date(item.modified_s * 1000).toLocaleString()}</span>
            </button>
            <IconButton
              label={say("workflows.remove", { name: item.name })} onClick={() => void remove(item.name, item.etag)}
              className="opacity-0 group-hover:opacity-100 focus-visible:opacity-100"
            >
              <Trash2 size={15} />
            </IconButton>
          </div>
        ))}
      </Section>
    </>
  );
}
