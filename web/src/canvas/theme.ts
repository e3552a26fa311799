/** The colours of the canvas: the page's tokens, and one colour for each socket type. */

export interface Theme {
  readonly canvas: string;
  readonly grid: string;
  readonly node: string;
  readonly title: string;
  readonly field: string;
  readonly line: string;
  readonly text: string;
  readonly quiet: string;
  readonly accent: string;
  readonly danger: string;
  readonly good: string;
}

/** Reading it costs style work: keep it until the theme changes. */
export function readTheme(element: Element): Theme {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    canvas: read("--canvas"), grid: read("--grid"), node: read("--node"), title: read("--node-title"),
    field: read("--field"), line: read("--line"), text: read("--text"), quiet: read("--quiet"),
    accent: read("--accent"), danger: read("--danger"), good: read("--good"),
  };
}

/** Calls back when the page's theme changes: by the system, or by an attribute of the page. */
export function watchTheme(changed: () => void): () => void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const contrast = matchMedia("(prefers-contrast: more)");
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributeFilter: ["data-theme", "class", "style"] });
  for (const query of [dark, contrast]) query.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    for (const query of [dark, contrast]) query.removeEventListener("change", changed);
  };
}

/** Okabe and Ito's colours, which colour-blind people tell apart; lightness differs between neighbours. */
const PALETTE = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#d55e00", "#b8bec9"] as const;
const OWN: { readonly [type: string]: string } = {
  MODEL: "#b39ddb", CLIP: "#e8d44d", VAE: "#ff7a7a", CONDITIONING: "#e69f00", LATENT: "#cc79a7", IMAGE: "#56b4e9",
  MASK: "#81c784", CONTROL_NET: "#009e73", INT: "#9aa7ba", FLOAT: "#9aa7ba", STRING: "#9aa7ba", BOOLEAN: "#9aa7ba",
  COMBO: "#9aa7ba", "*": "#b8bec9", "": "#b8bec9",
};

export function typeColor(type: string): string {
  const own = OWN[type];
  if (own !== undefined) return own;
  let sum = 0;
  for (const letter of type) sum = (sum * 31 + letter.charCodeAt(0)) >>> 0;
  return PALETTE[sum % PALETTE.length] as string;
}

export const LIGHT_TEXT = "#f1f3f7";
export const DARK_TEXT = "#14171c";

/** The text colour that reads best on a colour of a file (`#abc`, `#aabbcc`); by WCAG's relative luminance. */
export function textOn(color: string): string {
  return luminance(color) > 0.36 ? DARK_TEXT : LIGHT_TEXT;
}

/** From 0 (black) to 1 (white). */
export function luminance(color: string): number {
  const digits = color.slice(1);
  const wide = digits.length <= 4 ? [...digits].map((digit) => digit + digit).join("") : digits;
  const [red, green, blue] = [0, 2, 4].map((at) => {
    const part = Number.parseInt(wide.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
