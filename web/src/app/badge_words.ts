/** The words of the badges on the canvas, in the language of the page. */

import type { Say } from "../i18n/catalogue";
import { durationText } from "../ui/duration";
import { sizeText } from "../ui/size";
import type { BadgeWords } from "../model/reasons";

export function badgeWords(say: Say): BadgeWords {
  const update = say("badge.update");
  return {
    cached: say("badge.cached"), ran: say("badge.ran"), running: say("badge.running"), failed: say("badge.failed"), runs: say("badge.runs"),
    time: (seconds) => durationText(seconds, say),
    size: (bytes) => sizeText(bytes, say),
    reasons: {
      first_run: say("badge.new"), outside_changed: say("badge.file"), always_runs: say("badge.always"), not_kept: say("badge.notKept"),
      version_changed: update, type_changed: update, cache_off: say("badge.noCache"),
    },
  };
}
