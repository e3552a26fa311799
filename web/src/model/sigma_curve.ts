/** Noise levels that are written as text, as a curve: read, changed point by point, given more or fewer steps, written. */

import type { InputSpec } from "./catalog";

/** Points that are dragged one by one; a longer list is only shown. */
export const MAX_HANDLES = 64;
export const MAX_STEPS = 1000;
/** Levels below this part of the highest lie close to the floor of the picture. */
const FLOOR = 0.004;
const NUMBER = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i;

/** Whether an input takes noise levels as text: by its name, or where the declaration says so. */
export function takesSigmas({ name, type, options }: InputSpec): boolean {
  return type === "STRING" && options.multiline !== true && (name === "sigmas" || options.display === "sigmas");
}

/** The numbers of a text; null when anything else is in it, or none. */
export function sigmasFrom(text: string): readonly number[] | null {
  const words = text.split(/[\s,;]+/).filter((word) => word !== "");
  if (words.length === 0 || words.length > MAX_STEPS + 1 || !words.every((word) => NUMBER.test(word))) return null;
  const values = words.map(Number);
  return values.every((value) => Number.isFinite(value) && value >= 0) ? values : null;
}

export function sigmaText(values: readonly number[]): string {
  return values.map((value) => String(Number(value.toPrecision(6)))).join(", ");
}

/** One level changed; levels that went down go on going down, so it stops at its neighbours. */
export function withSigma(values: readonly number[], at: number, value: number): readonly number[] {
  const falls = values.every((each, i) => i === 0 || each <= (values[i - 1] as number));
  const above = falls ? (values[at - 1] ?? Infinity) : Infinity;
  const below = falls ? (values[at + 1] ?? 0) : 0;
  return values.with(at, Number(Math.min(above, Math.max(below, value)).toPrecision(6)));
}

/** A level between this one and the next; after the last one nothing. */
export function withMore(values: readonly number[], at: number): readonly number[] {
  const [one, other] = [values[at], values[at + 1]];
  return one === undefined || other === undefined ? values : values.toSpliced(at + 1, 0, Number(((one + other) / 2).toPrecision(6)));
}

export function without(values: readonly number[], at: number): readonly number[] {
  return values.length <= 2 ? values : values.toSpliced(at, 1);
}

/** The same curve in another number of steps; its ends stay, and a last 0 stays a step of its own. */
export function resampled(values: readonly number[], numSteps: number): readonly number[] {
  const count = Math.min(MAX_STEPS, Math.max(1, Math.round(numSteps)));
  const hasZero = values.length > 2 && values.at(-1) === 0 && count > 1;
  const own = hasZero ? values.slice(0, -1) : values;
  const numOwn = hasZero ? count : count + 1;
  const found = Array.from({ length: numOwn }, (_, i) => {
    const place = numOwn === 1 ? 0 : (i / (numOwn - 1)) * (own.length - 1);
    const [one, other] = [own[Math.floor(place)] as number, own[Math.ceil(place)] as number];
    return Number((one + (other - one) * (place % 1)).toPrecision(6));
  });
  return hasZero ? [...found, 0] : found;
}

/** How high a level lies, 0 to 1, when `top` is the highest: equal factors are equal heights, and 0 is the floor. */
export function heightOf(value: number, top: number): number {
  return top <= 0 ? 0 : Math.log1p(value / (top * FLOOR)) / Math.log1p(1 / FLOOR);
}

export function sigmaAt(height: number, top: number): number {
  return Math.expm1(Math.min(1, Math.max(0, height)) * Math.log1p(1 / FLOOR)) * top * FLOOR;
}
