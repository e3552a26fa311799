/** How long something took or will take, in the language of the page. */

import type { Say } from "../i18n/catalogue";

export function durationText(seconds: number, say: Say): string {
  if (seconds < 0.0995) return say("unit.ms", { count: Math.max(1, Math.round(seconds * 1000)) });
  if (seconds < 9.95) return say("unit.s", { count: seconds.toFixed(1) });
  if (seconds < 60) return say("unit.s", { count: Math.round(seconds) });
  return say("unit.min", { min: Math.floor(seconds / 60), s: Math.floor(seconds % 60) });
}
