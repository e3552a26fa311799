/** What an error is called for people: those of this page in their language, those of the server as it says them. */

import { sayNow, type TextKey } from "../i18n/catalogue";
import { CompileError } from "../model/compile/scopes";
import { WorkflowFileError } from "../model/workflow_file";
import { ServerError, Unreachable } from "../server/client";

const COMPILE: { readonly [code: string]: TextKey } = {
  graph_too_large: "fault.tooLarge", subgraph_cycle: "fault.subgraphCycle", bad_workflow: "fault.noId",
  duplicate_node_id: "fault.twice", cycle: "fault.cycle", text_too_long: "fault.textTooLong",
};

export function faultText(error: unknown): string {
  const say = sayNow();
  if (error instanceof Unreachable) return say("fault.unreachable");
  if (error instanceof WorkflowFileError) return say("fault.noWorkflow");
  if (error instanceof CompileError && COMPILE[error.code] !== undefined) {
    return say(COMPILE[error.code] as TextKey, { node: error.node ?? "?" });
  }
  if (error instanceof ServerError) return [error.message, error.hint].filter(Boolean).join(" ");
  return error instanceof Error ? error.message : String(error);
}
