/** The colours of the canvas: the page's tokens, and one colour for each socket type. */

export interface Theme {
  readonly canvas: string;
  readonly grid: string;
  readonly node: string;
  readonly title: string;
  readonly line: string;
  readonly text: string;
  readonly quiet: string;
  readonly accent: string;
  readonly danger: string;
}

export function readTheme(element: Element): Theme {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    canvas: read("--canvas"), grid: read("--grid"), node: read("--node"), title: read("--node-title"),
    line: read("--line"), text: read("--text"), quiet: read("--quiet"), accent: read("--accent"), danger: read("--danger"),
  };
}

/** Okabe and Ito's colours, which colour-blind people tell apart; lightness differs between neighbours. */
const PALETTE = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#d55e00", "#b8bec9"] as const;
const OWN: { readonly [type: string]: string } = {
  MODEL: "#b39ddb", CLIP: "#f0e442", VAE: "#ff7a7a", CONDITIONING: "#e69f00", LATENT: "#cc79a7", IMAGE: "#56b4e9",
  MASK: "#81c784", CONTROL_NET: "#009e73", INT: "#b8bec9", FLOAT: "#b8bec9", STRING: "#b8bec9", "*": "#b8bec9",
};

export function typeColor(type: string): string {
  const own = OWN[type];
  if (own !== undefined) return own;
  let sum = 0;
  for (const letter of type) sum = (sum * 31 + letter.charCodeAt(0)) >>> 0;
  return PALETTE[sum % PALETTE.length] as string;
}
