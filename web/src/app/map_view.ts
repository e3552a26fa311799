/**
 * The map in the corner of the canvas. It is drawn when the graph has changed; while the picture moves, only the frame
 * of what is seen follows. It has no copy of the graph: the scene is the one that the canvas draws.
 */

import { paintMap } from "../canvas/map_painter";
import type { Theme } from "../canvas/theme";
import { frameOnMap, fromMap, mapScale, type MapScale } from "../geometry/minimap";
import type { Scene } from "../geometry/scene";
import { contains, type Point, type Rect } from "../geometry/shapes";
import { panned, visibleRect, zoomedAt, type Size, type Viewport } from "../geometry/viewport";
import type { NodeId } from "../model/records";

/** The canvas, as its map sees it. */
export interface Mapped {
  readonly scene: Scene;
  readonly size: Size;
  readonly viewport: Viewport;
  readonly theme: Theme;
  readonly running: () => ReadonlySet<NodeId>;
  readonly faulty: () => ReadonlySet<NodeId>;
  readonly look: (viewport: Viewport) => void;
  readonly fit: () => void;
}

export const MAP_SIZE: Size = { width: 192, height: 128 };
/** Part of what is seen that a key moves by. */
const STEP = 1 / 6;
const ZOOM = 1.25;
const WHEEL_ZOOM = 1.0015;
const DUST_PX = 0.01;

export class MapView {
  /** How often it was drawn: tests count it. */
  numDraws = 0;
  private readonly view: Mapped;
  private readonly host: HTMLElement;
  private readonly canvas: CanvasRenderingContext2D;
  private readonly frame: HTMLElement;
  private readonly end = new AbortController();
  private map: MapScale;
  private box: Rect = { x: 0, y: 0, width: 0, height: 0 };
  /** From the middle of the frame to where it is held. */
  private held: Point | null = null;
  private asked = 0;

  constructor(host: HTMLElement, view: Mapped) {
    this.host = host;
    this.view = view;
    this.map = mapScale(null, MAP_SIZE);
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(MAP_SIZE.width * devicePixelRatio);
    canvas.height = Math.round(MAP_SIZE.height * devicePixelRatio);
    canvas.className = "map-canvas";
    this.frame = document.createElement("i");
    this.frame.className = "map-frame";
    host.replaceChildren(canvas, this.frame);
    this.canvas = canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
    this.listen();
    this.ask();
  }

  /** Draw it in the next frame, once. */
  ask(): void {
    if (this.asked !== 0) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.paint();
    });
  }

  /** Puts the frame where the picture is now; no drawing, no layout. */
  follow(): void {
    const { viewport, size } = this.view;
    if (size.width === 0) return;
    const box = frameOnMap(this.map, MAP_SIZE, visibleRect(viewport, size));
    const { style } = this.frame;
    style.transform = `translate(${box.x}px, ${box.y}px)`;
    // Where the picture moved, its size differs by the dust of floating point: that is no reason to lay anything out.
    const width = Math.abs(box.width - this.box.width) < DUST_PX ? this.box.width : box.width;
    const height = Math.abs(box.height - this.box.height) < DUST_PX ? this.box.height : box.height;
    if (width !== this.box.width) style.width = `${width}px`;
    if (height !== this.box.height) style.height = `${height}px`;
    this.box = { ...box, width, height };
  }

  close(): void {
    this.end.abort();
    cancelAnimationFrame(this.asked);
    this.host.replaceChildren();
  }

  private paint(): void {
    this.numDraws += 1;
    const { scene, theme } = this.view;
    this.map = mapScale(scene.bounds(), MAP_SIZE);
    paintMap(this.canvas, {
      scene, scale: this.map, size: MAP_SIZE, pixelRatio: devicePixelRatio, running: this.view.running(), faulty: this.view.faulty(),
    }, theme);
    this.follow();
  }

  private listen(): void {
    const { host } = this;
    const options = { signal: this.end.signal };
    host.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      host.setPointerCapture(event.pointerId);
      const at = this.placeOf(event);
      const { x, y, width, height } = this.box;
      this.held = contains(this.box, at) ? { x: at.x - x - width / 2, y: at.y - y - height / 2 } : { x: 0, y: 0 };
      this.show(at);
    }, options);
    host.addEventListener("pointermove", (event) => this.held !== null && this.show(this.placeOf(event)), options);
    for (const kind of ["pointerup", "pointercancel"] as const) host.addEventListener(kind, () => void (this.held = null), options);
    host.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(WHEEL_ZOOM ** (-event.deltaY * (event.deltaMode === 1 ? 16 : 1)));
    }, { ...options, passive: false });
    host.addEventListener("keydown", (event) => this.key(event), options);
  }

  private placeOf(event: MouseEvent): Point {
    const { left, top } = this.host.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  /** The middle of the picture goes to a place of the map. */
  private show(at: Point): void {
    const { viewport, size } = this.view;
    const { x, y } = fromMap(this.map, { x: at.x - (this.held?.x ?? 0), y: at.y - (this.held?.y ?? 0) });
    this.view.look({ ...viewport, x: x - size.width / 2 / viewport.zoom, y: y - size.height / 2 / viewport.zoom });
  }

  private zoom(factor: number): void {
    const { viewport, size } = this.view;
    this.view.look(zoomedAt(viewport, { x: size.width / 2, y: size.height / 2 }, factor));
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { viewport, size } = this.view;
    const [dx, dy] = [size.width * STEP, size.height * STEP];
    switch (event.key) {
      case "ArrowLeft": this.view.look(panned(viewport, dx, 0)); break;
      case "ArrowRight": this.view.look(panned(viewport, -dx, 0)); break;
      case "ArrowUp": this.view.look(panned(viewport, 0, dy)); break;
      case "ArrowDown": this.view.look(panned(viewport, 0, -dy)); break;
      case "+": case "=": this.zoom(ZOOM); break;
      case "-": this.zoom(1 / ZOOM); break;
      case "Home": this.view.fit(); break;
      default: return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
