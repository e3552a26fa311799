/** The browser's locks, as many as pages want, one holder each; a lock asked for with a signal is waited for until it aborts. */

type Hold = () => Promise<unknown>;

export class FakeLocks {
  private readonly holders = new Map<string, { readonly waiting: (() => void)[] }>();

  /** Another page has these already. */
  constructor(...held: readonly string[]) {
    for (const name of held) this.holders.set(name, { waiting: [] });
  }

  /** Make them what the page finds. */
  install(): this {
    Object.defineProperty(navigator, "locks", { value: this, configurable: true });
    return this;
  }

  query(): Promise<{ held: { name: string }[] }> {
    return Promise.resolve({ held: [...this.holders.keys()].map((name) => ({ name })) });
  }

  request(name: string, { signal }: { signal: AbortSignal }, hold: Hold): Promise<unknown> {
    const holder = this.holders.get(name);
    if (holder !== undefined) {
      return new Promise((settled, refused) => {
        signal.addEventListener("abort", () => refused(signal.reason));
        holder.waiting.push(() => signal.aborted || void this.request(name, { signal }, hold).then(settled, refused));
      });
    }
    this.holders.set(name, { waiting: [] });
    return hold();
  }

  /** The page that had it is gone. */
  release(name: string): void {
    const waiting = this.holders.get(name)?.waiting ?? [];
    this.holders.delete(name);
    for (const next of waiting) next();
  }
}
