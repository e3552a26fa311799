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
  /** A colour of a file as this theme shows it. */
  readonly own: (color: string) => string;
}

/** Reading it costs style work: keep it until the theme changes. */
export function readTheme(element: Element): Theme {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  const canvas = read("--canvas");
  return {
    own: isHex(canvas) && luminance(canvas) > LIGHT_FROM ? remembered(inLight) : (color) => color,
    canvas, grid: read("--grid"), node: read("--node"), title: read("--node-title"),
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

/** From here on dark text reads better, by WCAG's relative luminance. */
const LIGHT_FROM = 0.36;

/** The text colour that reads best on a colour of a file (`#abc`, `#aabbcc`). */
export function textOn(color: string): string {
  return luminance(color) > LIGHT_FROM ? DARK_TEXT : LIGHT_TEXT;
}

/** What fields are filled with on such a colour. */
export function fieldOn(color: string): string {
  return textOn(color) === LIGHT_TEXT ? "rgb(0 0 0 / 0.28)" : "rgb(255 255 255 / 0.45)";
}

const isHex = (text: string) => /^#[0-9a-fA-F]{3,8}$/.test(text);

/**
 * A colour of a file in the light theme: files carry colours that were chosen on a dark canvas, and a dark one becomes its
 * tint. The darker it was, the lighter it is, so that titles stay apart from bodies. Light ones stay.
 */
export function inLight(color: string): string {
  if (luminance(color) > LIGHT_FROM) return color;
  const parts = partsOf(color);
  const [most, least] = [Math.max(...parts), Math.min(...parts)];
  const lightness = (most + least) / 2;
  const spread = most === least ? 0 : (most - least) / (1 - Math.abs(2 * lightness - 1));
  const next = 1 - 0.55 * lightness;
  // Tints are pale: more of the hue keeps them what they were.
  const half = (Math.min(0.9, 1.6 * spread) * (1 - Math.abs(2 * next - 1))) / 2;
  const scale = most === least ? 0 : (2 * half) / (most - least);
  const digits = parts.map((part) => Math.round(255 * (next - half + (part - least) * scale)).toString(16).padStart(2, "0"));
  return `#${digits.join("")}`;
}

/** A colour of a file for the page's own elements, which the browser shows as the theme is. */
export function onPage(color: string): string {
  const light = inLight(color);
  return light === color ? color : `light-dark(${light}, ${color})`;
}

function remembered(make: (color: string) => string): (color: string) => string {
  const known = new Map<string, string>();
  return (color) => {
    const found = known.get(color) ?? make(color);
    known.set(color, found);
    return found;
  };
}

/** From 0 (black) to 1 (white). */
export function luminance(color: string): number {
  const [red, green, blue] = partsOf(color).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Red, green and blue from 0 to 1. */
function partsOf(color: string): readonly number[] {
  const digits = color.slice(1);
  const wide = digits.length <= 4 ? [...digits].map((digit) => digit + digit).join("") : digits;
  return [0, 2, 4].map((at) => Number.parseInt(wide.slice(at, at + 2), 16) / 255);
}
