/** Small pictures for nodes that are seen from afar: loaded when they are first wanted, the last ones kept. */

const MAX_KEPT = 64;

export class Thumbnails {
  private readonly images = new Map<string, HTMLImageElement>();
  private readonly loaded: () => void;

  /** `loaded` is called whenever one more can be drawn. */
  constructor(loaded: () => void) {
    this.loaded = loaded;
  }

  /** The picture at an address, or null while it is on its way or cannot be had. */
  get(address: string): HTMLImageElement | null {
    const known = this.images.get(address);
    if (known !== undefined) return known.complete && known.naturalWidth > 0 ? known : null;
    const image = new Image();
    image.addEventListener("load", this.loaded);
    image.src = address;
    this.images.set(address, image);
    const [oldest] = this.images.keys();
    if (this.images.size > MAX_KEPT && oldest !== undefined) this.images.delete(oldest);
    return null;
  }
}
