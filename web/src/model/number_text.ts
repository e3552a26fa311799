/** Numbers as people type them: maths, powers, per cent, `pi`; and how a value is stepped, bounded and shown. */

import type { InputSpec } from "./catalog";
import type { Json } from "./json";

/** How a number widget counts. Bounds may be beyond what a double holds exactly. */
export interface NumberRange {
  readonly min: number | bigint;
  readonly max: number | bigint;
  readonly step: number;
  readonly isWhole: boolean;
  /** Values are multiples of it; 0 for any value. */
  readonly grain: number;
  /** Shown after the number, and may be typed with it; "" for none. */
  readonly unit: string;
}

const MAX_UNIT = 12;

export function rangeOf(spec: InputSpec | null, value: Json | undefined): NumberRange {
  const options = spec?.options ?? {};
  const bound = (item: Json | undefined, fallback: number) =>
    typeof item === "number" || typeof item === "bigint" ? item : fallback;
  const isWhole = spec === null ? Number.isInteger(Number(value)) : spec.type === "INT";
  const step = typeof options.step === "number" && options.step > 0 ? options.step : isWhole ? 1 : 0.1;
  const grain = !isWhole && typeof options.round === "number" && options.round > 0 ? options.round : 0;
  const unit = typeof options.unit === "string" ? options.unit.trim().slice(0, MAX_UNIT) : "";
  return { min: bound(options.min, -Infinity), max: bound(options.max, Infinity), step, isWhole, grain, unit };
}

/** The value of what was typed, within the range; null when it is no number. */
export function numberFrom(text: string, range: NumberRange): number | bigint | null {
  const bare = range.unit !== "" && text.trimEnd().endsWith(range.unit) ? text.trimEnd().slice(0, -range.unit.length) : text;
  // A comma between digits is the decimal point of many languages: no maths here has arguments.
  const trimmed = bare.trim().replaceAll("_", "").replace(/(?<=\d),(?=\d)/g, ".");
  if (range.isWhole && /^[+-]?\d{16,}$/.test(trimmed)) return bounded(BigInt(trimmed), range);
  const value = evaluated(trimmed);
  if (value === null || !Number.isFinite(value)) return null;
  return bounded(range.isWhole ? Math.round(value) : onGrain(value, range), range);
}

export function bounded<T extends number | bigint>(value: T, { min, max }: NumberRange): number | bigint {
  return value < min ? min : value > max ? max : value;
}

/** A value moved by some steps, on the grid of steps where it was on it. */
export function stepped(value: Json | undefined, numSteps: number, range: NumberRange): number | bigint {
  if (typeof value === "bigint") return bounded(value + BigInt(Math.round(numSteps * range.step)), range);
  const now = typeof value === "number" && Number.isFinite(value) ? value : 0;
  const moved = now + numSteps * range.step;
  if (range.isWhole && !Number.isSafeInteger(Math.round(moved))) return bounded(BigInt(Math.round(moved)), range);
  return bounded(range.isWhole ? Math.round(moved) : onGrain(moved, range), range);
}

function onGrain(value: number, { grain }: NumberRange): number {
  return tidy(grain > 0 ? Math.round(value / grain) * grain : value);
}

/** Without the noise of binary fractions: 0.1 + 0.2 is 0.3. */
function tidy(value: number): number {
  return Number(value.toPrecision(12));
}

export function shownNumber(value: Json | undefined): string {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(tidy(value));
  return value === null || value === undefined ? "" : String(value);
}

/** What an expression of + - * / % ^ ( ) and numbers comes to; null when it is none. No names but `pi` and `e`. */
export function evaluated(text: string): number | null {
  const tokens = text.toLowerCase().match(/\d*\.?\d+(?:e[+-]?\d+)?|pi|e|[-+*/%^()]|\S/g) ?? [];
  const parser = new Maths(tokens);
  const value = parser.sum();
  return value === null || !parser.isDone ? null : value;
}

class Maths {
  private at = 0;
  private readonly tokens: readonly string[];

  constructor(tokens: readonly string[]) {
    this.tokens = tokens;
  }

  get isDone(): boolean {
    return this.at === this.tokens.length;
  }

  sum(): number | null {
    let value = this.product();
    while (value !== null && (this.next === "+" || this.next === "-")) {
      const sign = this.take() === "+" ? 1 : -1;
      const other = this.product();
      value = other === null ? null : value + sign * other;
    }
    return value;
  }

  private product(): number | null {
    let value = this.power();
    while (value !== null && (this.next === "*" || this.next === "/")) {
      const isTimes = this.take() === "*";
      const other = this.power();
      value = other === null ? null : isTimes ? value * other : value / other;
    }
    return value;
  }

  private power(): number | null {
    const value = this.signed();
    if (value === null || this.next !== "^") return value;
    this.take();
    const other = this.power();
    return other === null ? null : value ** other;
  }

  private signed(): number | null {
    if (this.next === "-" || this.next === "+") {
      const sign = this.take() === "-" ? -1 : 1;
      const value = this.power();
      return value === null ? null : sign * value;
    }
    const value = this.atom();
    if (value !== null && this.next === "%") {
      this.take();
      return value / 100;
    }
    return value;
  }

  private atom(): number | null {
    const token = this.take();
    if (token === "(") {
      const value = this.sum();
      return this.take() === ")" ? value : null;
    }
    if (token === "pi") return Math.PI;
    if (token === "e") return Math.E;
    const value = token === undefined || token === "" ? Number.NaN : Number(token);
    return Number.isNaN(value) ? null : value;
  }

  private get next(): string | undefined {
    return this.tokens[this.at];
  }

  private take(): string | undefined {
    return this.tokens[this.at++];
  }
}
