/** What the word that is being typed may become: names of embeddings, as `embedding:name`. */

export interface Completion {
  /** The letters that are replaced. */
  readonly start: number;
  readonly end: number;
  readonly choices: readonly string[];
  /** Whether an embedding is what is being written, and not a word that begins like one. */
  readonly isNamed: boolean;
}

const PREFIX = "embedding:";
const MIN_LETTERS = 3;
const MAX_CHOICES = 8;
const WORD = /[^\s,()<>[\]{}|]*$/;

/** Null when there is nothing to offer: too few letters, no such name, or the name stands there already. */
export function completionAt(text: string, caret: number, names: readonly string[]): Completion | null {
  const typed = (WORD.exec(text.slice(0, caret)) as RegExpExecArray)[0];
  const isNamed = typed.toLowerCase().startsWith(PREFIX);
  const sought = (isNamed ? typed.slice(PREFIX.length) : typed).toLowerCase();
  if (!isNamed && sought.length < MIN_LETTERS) return null;
  const isPrefix = !isNamed && PREFIX.startsWith(sought);
  const begins = (name: string) => isPrefix || name.toLowerCase().replace(/^.*\//, "").startsWith(sought);
  const found = [...names.filter(begins), ...names.filter((name) => !begins(name) && isNamed && name.toLowerCase().includes(sought))];
  if (found.length === 0 || (found.length === 1 && isNamed && found[0] === typed.slice(PREFIX.length))) return null;
  return { start: caret - typed.length, end: caret, choices: found.slice(0, MAX_CHOICES), isNamed };
}

export function completed(text: string, { start, end }: Completion, name: string): { readonly text: string; readonly caret: number } {
  const word = `${PREFIX}${name}`;
  return { text: text.slice(0, start) + word + text.slice(end), caret: start + word.length };
}

/** A file as prompts name it. */
export function embeddingName(file: string): string {
  return file.replace(/\.(safetensors|pt|bin)$/i, "");
}
