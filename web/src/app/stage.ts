/**
 * The layers of the canvas, back to front: a 2D canvas, the nodes' DOM bodies, a 2D canvas for what changes often. They
 * are drawn in animation frames that were asked for, never otherwise.
 */

import type { Size, Viewport } from "../geometry/viewport";

export type Part = "base" | "overlay";

export class Stage {
  readonly base: CanvasRenderingContext2D;
  readonly overlay: CanvasRenderingContext2D;
  /** Holds the bodies, in world units. */
  readonly layer: HTMLDivElement;
  size: Size = { width: 0, height: 0 };
  private readonly wanted = new Set<Part>();
  private readonly draw: (parts: ReadonlySet<Part>) => void;
  private readonly observer: ResizeObserver;
  private readonly resized: (isFirst: boolean) => void;
  private readonly host: HTMLElement;
  private frame = 0;
  private hinted = false;

  constructor(host: HTMLElement, draw: (parts: ReadonlySet<Part>) => void, resized: (isFirst: boolean) => void) {
    this.host = host;
    this.draw = draw;
    this.resized = resized;
    const canvas = () => {
      const element = document.createElement("canvas");
      element.className = "stage-canvas";
      return element;
    };
    const [below, above] = [canvas(), canvas()];
    this.layer = document.createElement("div");
    this.layer.className = "stage-layer";
    host.classList.add("stage");
    host.replaceChildren(below, this.layer, above);
    this.base = below.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
    this.overlay = above.getContext("2d") as CanvasRenderingContext2D;
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(host);
  }

  /** Draw these parts in the next frame, once; nothing but a frame for no part. */
  ask(...parts: readonly Part[]): void {
    for (const part of parts) this.wanted.add(part);
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const asked = new Set(this.wanted);
      this.wanted.clear();
      if (this.size.width > 0) this.draw(asked);
    });
  }

  /** Moves all bodies as one. While it moves they are a picture of the compositor's; at rest text is drawn crisp. */
  moveLayer({ x, y, zoom }: Viewport, isMoving: boolean): void {
    const pixel = (value: number) => Math.round(value * devicePixelRatio) / devicePixelRatio;
    this.layer.style.transform = `translate(${pixel(-x * zoom)}px, ${pixel(-y * zoom)}px) scale(${zoom})`;
    if (isMoving !== this.hinted) {
      this.hinted = isMoving;
      this.layer.style.willChange = isMoving ? "transform" : "auto";
    }
  }

  /** Takes the upper canvas out while there is nothing on it; returns whether it is there. */
  showOverlay(isWanted: boolean): boolean {
    const { style } = this.overlay.canvas;
    const display = isWanted ? "" : "none";
    if (style.display !== display) style.display = display;
    return isWanted;
  }

  close(): void {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    this.host.replaceChildren();
  }

  private measure(): void {
    const { width, height } = this.host.getBoundingClientRect();
    const isFirst = this.size.width === 0 && width > 0;
    this.size = { width, height };
    for (const { canvas } of [this.base, this.overlay]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
    }
    this.resized(isFirst);
  }
}
