/** How large a file is, in the language of the page. */

import type { Say } from "../i18n/catalogue";

export function sizeText(bytes: number, say: Say): string {
  if (bytes < 999_500) return say("unit.kb", { count: Math.ceil(bytes / 1000) });
  if (bytes < 999_500_000) return say("unit.mb", { count: Math.round(bytes / 1e6) });
  return say("unit.gb", { count: (bytes / 1e9).toFixed(1) });
}
