/**
 * What the word that is being typed may become: names of embeddings, as `embedding:name`; and after `lora:` or `<lora:`
 * those of LoRAs, which become nodes of the graph, for a text of ours loads no weights.
 */

export type CompletionKind = "embedding" | "lora";

export interface Completion {
  readonly kind: CompletionKind;
  /** The letters that are replaced. */
  readonly start: number;
  readonly end: number;
  readonly choices: readonly string[];
  /** Whether such a name is what is being written, and not a word that begins like one. */
  readonly isNamed: boolean;
}

/** What there is, as people name it. */
export type NamesByKind = { readonly [kind in CompletionKind]: readonly string[] };

const PREFIX = { embedding: "embedding:", lora: "lora:" } as const;
const MIN_LETTERS = 3;
const MAX_CHOICES = 8;
const WORD = /<?[^\s,()<>[\]{}|]*$/;

/** Null when there is nothing to offer: too few letters, no such name, or the name stands there already. */
export function completionAt(text: string, caret: number, names: NamesByKind): Completion | null {
  const before = (WORD.exec(text.slice(0, caret)) as RegExpExecArray)[0];
  const typed = before.replace(/^</, "");
  const word = typed.toLowerCase();
  if (PREFIX.lora.startsWith(word) && word.length >= MIN_LETTERS) {
    const lora = offered("lora", "", names.lora, caret - before.length, caret);
    if (lora !== null) return { ...lora, isNamed: word === PREFIX.lora };
  }
  if (word.startsWith(PREFIX.lora)) return offered("lora", typed.slice(PREFIX.lora.length), names.lora, caret - before.length, caret);
  if (word.startsWith(PREFIX.embedding)) return offered("embedding", typed.slice(PREFIX.embedding.length), names.embedding, caret - typed.length, caret);
  if (word.length < MIN_LETTERS) return null;
  const found = PREFIX.embedding.startsWith(word) ? names.embedding : names.embedding.filter((name) => begins(name, word));
  if (found.length === 0) return null;
  return { kind: "embedding", start: caret - typed.length, end: caret, choices: found.slice(0, MAX_CHOICES), isNamed: false };
}

/** For a name that is being written after its prefix: those that begin so first. */
function offered(kind: CompletionKind, sought: string, names: readonly string[], start: number, end: number): Completion | null {
  const letters = sought.toLowerCase();
  const first = names.filter((name) => begins(name, letters));
  const found = [...first, ...names.filter((name) => !first.includes(name) && name.toLowerCase().includes(letters))];
  if (found.length === 0 || (kind === "embedding" && found.length === 1 && found[0] === sought)) return null;
  return { kind, start, end, choices: found.slice(0, MAX_CHOICES), isNamed: true };
}

function begins(name: string, letters: string): boolean {
  return name.toLowerCase().replace(/^.*\//, "").startsWith(letters);
}

/** The text with the name in it; a LoRA leaves it, with the bracket behind it. */
export function completed(text: string, { kind, start, end }: Completion, name: string): { readonly text: string; readonly caret: number } {
  if (kind === "lora") return { text: text.slice(0, start) + text.slice(end).replace(/^>/, ""), caret: start };
  const word = `${PREFIX.embedding}${name}`;
  return { text: text.slice(0, start) + word + text.slice(end), caret: start + word.length };
}

/** A file as prompts name it. */
export function weightName(file: string): string {
  return file.replace(/\.(safetensors|pt|bin)$/i, "");
}
