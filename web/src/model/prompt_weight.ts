/** Weights of prompts, `(words:1.2)`: what the weight keys do with the text and the selection. */

export interface TextChange {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const WEIGHTED = /^\((.*):(-?\d*\.?\d+)\)$/s;
const WORD = /[^\s,.:;()[\]<>|]/;

/** The text with the weight of the selected words moved by `by`; the word under the caret where none are selected. */
export function weighted(text: string, start: number, end: number, by: number): TextChange {
  const [from, to] = around(text, start, end);
  if (from === to) return { text, start, end };
  const chosen = text.slice(from, to);
  const found = WEIGHTED.exec(chosen);
  const words = found?.[1] ?? chosen;
  const weight = Math.round((Number(found?.[2] ?? 1) + by) * 100) / 100;
  const next = weight === 1 ? words : `(${words}:${weight})`;
  return { text: text.slice(0, from) + next + text.slice(to), start: from, end: from + next.length };
}

/** From where to where: grown to a weighted group around the selection when there is one. */
function around(text: string, start: number, end: number): [number, number] {
  let [from, to] = [start, end];
  if (from === to) {
    while (from > 0 && WORD.test(text[from - 1] as string)) from -= 1;
    while (to < text.length && WORD.test(text[to] as string)) to += 1;
  }
  while (from < to && /\s/.test(text[from] as string)) from += 1;
  while (to > from && /\s/.test(text[to - 1] as string)) to -= 1;
  if (WEIGHTED.test(text.slice(from, to))) return [from, to];
  const open = text.lastIndexOf("(", from);
  const close = text.indexOf(")", from);
  const isInside = open >= 0 && close >= to && text.lastIndexOf(")", from - 1) < open && WEIGHTED.test(text.slice(open, close + 1));
  return isInside ? [open, close + 1] : [from, to];
}
