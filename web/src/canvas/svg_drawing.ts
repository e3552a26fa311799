/** A canvas that writes SVG: the same calls that draw a graph on the screen make a picture of it that stays sharp. */

import type { Drawing, ShapePath } from "./drawing";

interface Style {
  fillStyle: string | CanvasGradient | CanvasPattern;
  strokeStyle: string | CanvasGradient | CanvasPattern;
  globalAlpha: number;
  lineWidth: number;
  font: string;
  textAlign: CanvasTextAlign;
  textBaseline: CanvasTextBaseline;
  dash: readonly number[];
  scale: number;
  x: number;
  y: number;
}

const FRESH: Style = {
  fillStyle: "#000", strokeStyle: "#000", globalAlpha: 1, lineWidth: 1, font: "10px sans-serif", textAlign: "start", textBaseline: "alphabetic",
  dash: [], scale: 1, x: 0, y: 0,
};
const ANCHORS: Readonly<Record<string, string>> = { right: "end", end: "end", center: "middle" };

/** Shapes as the data of an SVG path. Arcs are whole circles; nothing here draws others. */
class SvgPath implements ShapePath {
  data = "";
  private readonly place: (x: number, y: number) => string;
  private readonly length: (value: number) => string;

  constructor({ scale, x, y }: Style) {
    this.place = (px, py) => `${short(px * scale + x)} ${short(py * scale + y)}`;
    this.length = (value) => short(value * scale);
  }

  moveTo(x: number, y: number): void {
    this.data += `M${this.place(x, y)}`;
  }

  lineTo(x: number, y: number): void {
    this.data += `L${this.place(x, y)}`;
  }

  bezierCurveTo(ax: number, ay: number, bx: number, by: number, x: number, y: number): void {
    this.data += `C${this.place(ax, ay)} ${this.place(bx, by)} ${this.place(x, y)}`;
  }

  rect(x: number, y: number, width: number, height: number): void {
    this.data += `M${this.place(x, y)}h${this.length(width)}v${this.length(height)}h${this.length(-width)}z`;
  }

  roundRect(x: number, y: number, width: number, height: number, radii: readonly number[]): void {
    const [a = 0, b = a, c = a, d = b] = radii;
    const corner = (radius: number, toX: number, toY: number) =>
      radius === 0 ? "" : `A${this.length(radius)} ${this.length(radius)} 0 0 1 ${this.place(toX, toY)}`;
    const [right, bottom] = [x + width, y + height];
    this.data += `M${this.place(x + a, y)}L${this.place(right - b, y)}${corner(b, right, y + b)}L${this.place(right, bottom - c)}` +
      `${corner(c, right - c, bottom)}L${this.place(x + d, bottom)}${corner(d, x, bottom - d)}L${this.place(x, y + a)}${corner(a, x + a, y)}z`;
  }

  circle(x: number, y: number, radius: number): void {
    const half = (toX: number) => `A${this.length(radius)} ${this.length(radius)} 0 0 1 ${this.place(toX, y)}`;
    this.data += `M${this.place(x - radius, y)}${half(x + radius)}${half(x - radius)}z`;
  }
}

export class SvgDrawing implements Drawing {
  private readonly parts: string[] = [];
  private readonly addressOf: (image: CanvasImageSource) => string;
  private style: Style = { ...FRESH };
  private readonly kept: Style[] = [];
  private path: SvgPath;

  /** `addressOf` gives a picture as a data address. */
  constructor(addressOf: (image: CanvasImageSource) => string) {
    this.addressOf = addressOf;
    this.path = new SvgPath(this.style);
  }

  /** The document, in pixels, with something that stands before the shapes. */
  document(width: number, height: number, before = ""): string {
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${short(width)}" height="${short(height)}" viewBox="0 0 ${short(width)} ${short(height)}">` +
      `${before}${this.parts.join("\n")}</svg>\n`;
  }

  /** A path for shapes of one colour, in the units that count now. */
  newPath(): ShapePath {
    return new SvgPath(this.style);
  }

  get fillStyle() { return this.style.fillStyle; }
  set fillStyle(value) { this.style.fillStyle = value; }
  get strokeStyle() { return this.style.strokeStyle; }
  set strokeStyle(value) { this.style.strokeStyle = value; }
  get globalAlpha() { return this.style.globalAlpha; }
  set globalAlpha(value) { this.style.globalAlpha = value; }
  get lineWidth() { return this.style.lineWidth; }
  set lineWidth(value) { this.style.lineWidth = value; }
  get font() { return this.style.font; }
  set font(value) { this.style.font = value; }
  get textAlign() { return this.style.textAlign; }
  set textAlign(value) { this.style.textAlign = value; }
  get textBaseline() { return this.style.textBaseline; }
  set textBaseline(value) { this.style.textBaseline = value; }

  save(): void {
    this.kept.push({ ...this.style });
  }

  restore(): void {
    this.style = this.kept.pop() ?? this.style;
  }

  /** Scaled alike both ways, never turned: that is all graphs need. */
  setTransform(...[scale, , , , x, y]: readonly unknown[]): void {
    Object.assign(this.style, { scale, x, y });
  }

  translate(x: number, y: number): void {
    this.style.x += x * this.style.scale;
    this.style.y += y * this.style.scale;
  }

  setLineDash(dash: Iterable<number>): void {
    this.style.dash = [...dash];
  }

  beginPath(): void {
    this.path = new SvgPath(this.style);
  }

  moveTo(x: number, y: number): void {
    this.path.moveTo(x, y);
  }

  lineTo(x: number, y: number): void {
    this.path.lineTo(x, y);
  }

  arc(x: number, y: number, radius: number): void {
    this.path.circle(x, y, radius);
  }

  roundRect(x: number, y: number, width: number, height: number, radii: number | DOMPointInit | Iterable<number | DOMPointInit> = 0): void {
    this.path.roundRect(x, y, width, height, typeof radii === "object" && Symbol.iterator in radii ? [...radii].map(Number) : [Number(radii)]);
  }

  fillRect(x: number, y: number, width: number, height: number): void {
    const path = new SvgPath(this.style);
    path.rect(x, y, width, height);
    this.add(path, `fill="${escaped(this.fillStyle)}"`);
  }

  fill(path?: unknown): void {
    this.add(path instanceof SvgPath ? path : this.path, `fill="${escaped(this.fillStyle)}"`);
  }

  stroke(path?: unknown): void {
    const { scale, dash, lineWidth } = this.style;
    const dashes = dash.length === 0 ? "" : ` stroke-dasharray="${dash.map((each) => short(each * scale)).join(" ")}"`;
    this.add(path instanceof SvgPath ? path : this.path, `fill="none" stroke="${escaped(this.strokeStyle)}" stroke-width="${short(lineWidth * scale)}"${dashes}`);
  }

  fillText(text: string, x: number, y: number): void {
    const { scale, font, textAlign, textBaseline } = this.style;
    const [, weight = "400", size = "10", family = "sans-serif"] = /^(?:(\d+) )?([\d.]+)px (.*)$/.exec(font) ?? [];
    const place = `x="${short(x * scale + this.style.x)}" y="${short(y * scale + this.style.y)}"`;
    const look = `font-size="${short(Number(size) * scale)}" font-weight="${weight}" font-family="${escaped(family)}" fill="${escaped(this.fillStyle)}"`;
    const anchor = ANCHORS[textAlign] === undefined ? "" : ` text-anchor="${ANCHORS[textAlign]}"`;
    const line = textBaseline === "middle" ? ' dominant-baseline="central"' : "";
    this.parts.push(`<text ${place} ${look}${anchor}${line}${this.opacity()} xml:space="preserve">${escaped(text)}</text>`);
  }

  drawImage(image: CanvasImageSource, ...[x, y, width, height]: readonly number[]): void {
    const { scale } = this.style;
    const place = `x="${short((x ?? 0) * scale + this.style.x)}" y="${short((y ?? 0) * scale + this.style.y)}"`;
    const size = `width="${short((width ?? 0) * scale)}" height="${short((height ?? 0) * scale)}"`;
    this.parts.push(`<image ${place} ${size} href="${escaped(this.addressOf(image))}"${this.opacity()}/>`);
  }

  private add({ data }: SvgPath, look: string): void {
    if (data !== "") this.parts.push(`<path d="${data}" ${look}${this.opacity()}/>`);
  }

  private opacity(): string {
    return this.style.globalAlpha === 1 ? "" : ` opacity="${short(this.style.globalAlpha)}"`;
  }
}

function short(value: number): string {
  return String(Number(value.toFixed(2)));
}

/** Text of files, in an element or an attribute: no markup, and nothing that XML does not allow. */
function escaped(text: unknown): string {
  return String(text).replace(/(?![\t\n\r])\p{Cc}|\p{Cs}|[\ufffe\uffff]/gu, "")
    .replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
