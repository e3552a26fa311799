/** Text work an editor does while it builds a prompt: comments, `{a|b}` choices, `%…%` in file names. All linear. */

import type { Json } from "../json";
import { editorText } from "../widget_plan";

/** Removes comments: `/* … ...`, and `//` to the end of the line (also inside `http://`). An unclosed one stays. */
export function stripComments(text: string): string {
  const mark = /\/[/*]/g;
  let kept = "";
  let position = 0;
  let closes = true;
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    const start = found.index;
    let end: number;
    if (found[0] === "//") {
      const line = /[\n\r\u2028\u2029]/g;
      line.lastIndex = start;
      end = line.exec(text)?.index ?? text.length;
    } else {
      const close = closes ? text.indexOf("*/", start + 2) : -1;
      if (close < 0) {
        closes = false;
        mark.lastIndex = start + 1;
        continue;
      }
      end = close + 2;
    }
    kept += text.slice(position, start);
    position = mark.lastIndex = end;
  }
  return kept + text.slice(position);
}

type Piece = string | Piece[];

/** Replaces every `{a|b|c}` by one of its alternatives, innermost first; `\{` and `\}` become plain braces. */
export function chooseAlternatives(text: string, random: () => number): string {
  // Texts are trees of pieces until the end, so that deep nesting never copies the same text twice.
  const stack: { options: Piece[][]; parts: Piece[] }[] = [];
  let options: Piece[][] = [];
  let parts: Piece[] = [];
  let position = 0;
  for (const mark of text.matchAll(/\\[{}]|[{|}]/g)) {
    parts.push(text.slice(position, mark.index));
    const [sign] = mark;
    position = mark.index + sign.length;
    if (sign === "{") {
      stack.push({ options, parts });
      [options, parts] = [[], []];
    } else if (sign.length === 2) parts.push(sign.slice(1));
    else if (stack.length === 0) parts.push(sign);
    else if (sign === "|") {
      options.push(parts);
      parts = [];
    } else {
      const all = [...options, parts];
      const chosen = all[Math.min(all.length - 1, Math.floor(random() * all.length))] as Piece[];
      ({ options, parts } = stack.pop() as { options: Piece[][]; parts: Piece[] });
      parts.push(chosen);
    }
  }
  parts.push(text.slice(position));
  for (let outer = stack.pop(); outer !== undefined; outer = stack.pop()) {
    const unclosed: Piece[] = ["{"];
    for (const option of options) unclosed.push(option, "|");
    unclosed.push(parts);
    ({ options, parts } = outer);
    parts.push(unclosed);
  }
  return flat(parts);
}

function flat(parts: Piece[]): string {
  const found: string[] = [];
  const waiting: Piece[] = [parts];
  for (let piece = waiting.pop(); piece !== undefined; piece = waiting.pop()) {
    if (typeof piece === "string") found.push(piece);
    else for (let i = piece.length - 1; i >= 0; i--) waiting.push(piece[i] as Piece);
  }
  return found.join("");
}

/** Replaces `%date:FORMAT%` and `%Node.widget%` in a file name; tokens that mean nothing here stay for the server. */
export function replaceTokens(
  text: string, now: Date, widgetValue: (node: string, widget: string) => Json | undefined,
): string {
  return text.replace(/%([^%]+)%/g, (token, inner: string) => {
    const parts = inner.split(".");
    const [first = "", second] = parts;
    if (first.startsWith("date:")) {
      return first.slice(5).replace(/yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s/g, (code) => datePart(code, now));
    }
    if (parts.length !== 2 || second === undefined) return token;
    const value = widgetValue(first, second);
    // eslint-disable-next-line no-control-regex
    return value === undefined ? token : editorText(value).replace(/[/?<>\\:*|"\x00-\x1f\x7f]/g, "_");
  });
}

function datePart(code: string, now: Date): string {
  if (code === "yy") return String(now.getFullYear() % 100).padStart(2, "0");
  const numbers: Record<string, number> = {
    y: now.getFullYear(), M: now.getMonth() + 1, d: now.getDate(),
    h: now.getHours(), m: now.getMinutes(), s: now.getSeconds(),
  };
  return String(numbers[code[0] as string]).padStart(code.length, "0");
}
