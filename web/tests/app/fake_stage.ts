/** What the canvas needs of a browser and a DOM without layout does not have: a size, a 2D context, pointer capture. */

export const STAGE_SIZE = { width: 1280, height: 800 };

type Values = Record<string, unknown>;

/** Takes every call and tells of those that are heard, with the values that were set; text is seven pixels a letter. */
export function fakeContext(heard: Readonly<Record<string, (own: Values, path?: FakePath) => void>>, more: Values = {}): CanvasRenderingContext2D {
  const own: Values = { measureText: (text: string) => ({ width: text.length * 7 }), ...more };
  return new Proxy(own, {
    get: (target, key: string) => {
      const tell = heard[key];
      if (tell !== undefined) return (path?: FakePath) => tell(target, path);
      return key in target ? target[key] : () => undefined;
    },
    set: (target, key: string, value) => {
      target[key] = value;
      return true;
    },
  }) as unknown as CanvasRenderingContext2D;
}

class FakeResizeObserver {
  private readonly resized: () => void;

  constructor(resized: () => void) {
    this.resized = resized;
  }

  observe(): void {
    queueMicrotask(this.resized);
  }

  disconnect(): void {
    return undefined;
  }
}

/** Counts how often it begins anew. */
export class FakePath {
  numMoves = 0;

  moveTo(): void {
    this.numMoves += 1;
  }
  lineTo(): void {
    return undefined;
  }
  bezierCurveTo(): void {
    return undefined;
  }
  rect(): void {
    return undefined;
  }
}

/** An element for the canvas to live in, in a page that has what it needs. */
export function fakeHost(): HTMLElement {
  Object.assign(globalThis, { ResizeObserver: FakeResizeObserver, Path2D: FakePath });
  HTMLCanvasElement.prototype.getContext = function getContext(this: HTMLCanvasElement) {
    return fakeContext({}, { canvas: this });
  } as never;
  const host = document.createElement("div");
  host.getBoundingClientRect = () => ({ x: 0, y: 0, left: 0, top: 0, right: 1280, bottom: 800, ...STAGE_SIZE, toJSON: () => "" });
  host.setPointerCapture = () => undefined;
  document.body.append(host);
  return host;
}
