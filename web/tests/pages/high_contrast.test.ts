// @vitest-environment happy-dom
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { luminance, readTheme } from "../../src/canvas/theme";
import { ACCENTS, applyPreferences, preferences, readPreferences } from "../../src/settings/preferences";

const SHEET = readFileSync(join(import.meta.dirname, "../../src/style.css"), "utf-8");
/** The variables of the light theme, which the sheet keeps under a name that only its compiler knows. */
const LIGHT = /@utility light-colors \{([^{}&]*)&/.exec(SHEET)?.[1] ?? "";
/** The rules that set the variables of the page and those of its accents, as browsers get them. */
const RULES = [...SHEET.matchAll(/^(?:@media[^{}]*\{\s*)?(?::root|\[data-accent)[^{}]*\{[^{}]*\}(?:\s*\})?/gm)]
  .map(([rule]) => rule.replace("@apply light-colors;", LIGHT)).join("\n");
const GROUNDS = ["--canvas", "--surface", "--raised", "--node", "--node-title", "--field"];
const INKS = ["--text", "--quiet", "--danger", "--good", "--line"];

const root = document.documentElement;
let end: () => void;

beforeEach(() => {
  const style = document.createElement("style");
  style.textContent = RULES;
  document.head.append(style);
  end = applyPreferences(root);
});
afterEach(() => {
  end();
  preferences.setState(readPreferences(null, ["en"]), true);
  localStorage.clear();
  document.head.replaceChildren();
});

/** How far two variables of the page are apart, by WCAG: from 1 to 21. */
function contrast(one: string, two: string): number {
  const style = getComputedStyle(root);
  const [more, less] = [one, two].map((name) => luminance(style.getPropertyValue(name).trim())).sort((a, b) => b - a) as [number, number];
  return (more + 0.05) / (less + 0.05);
}
const contrasts = (inks: readonly string[], grounds: readonly string[]) => inks.flatMap((ink) => grounds.map((ground) => contrast(ink, ground)));

it("high contrast is put on the page, where every colour of texts and lines is farther from its ground than in the dark theme", () => {
  preferences.setState({ theme: "dark" });
  expect(root.dataset.theme).toBe("dark");
  const [dark, before] = [contrasts(INKS, GROUNDS), readTheme(root)];
  preferences.setState({ theme: "contrast" });
  expect(root.dataset.theme).toBe("contrast");
  const high = contrasts(INKS, GROUNDS);
  expect(high.filter((value, i) => !(value > (dark[i] ?? NaN)))).toEqual([]);
  expect(Math.min(...high)).toBeGreaterThan(7);
  const after = readTheme(root);
  expect([after.canvas, after.text]).toEqual(["#000000", "#ffffff"]);
  for (const key of ["canvas", "grid", "node", "title", "field", "line", "text", "quiet", "danger", "good"] as const) expect(after[key]).not.toBe(before[key]);
});

it("high contrast is the same on a system that is light, with every accent", () => {
  preferences.setState({ theme: "system" });
  expect(readTheme(root).canvas).toBe("#eef0f3");
  preferences.setState({ theme: "contrast" });
  expect(readTheme(root).canvas).toBe("#000000");
  for (const accent of ACCENTS) {
    preferences.setState({ accent });
    expect(Math.min(...contrasts(["--accent"], [...GROUNDS, "--on-accent"]))).toBeGreaterThan(4.5);
  }
});
