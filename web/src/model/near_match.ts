/** The nearest of some names to one that is missing: the file that was renamed, moved or saved in another format. */

/** The most similar choice; null when nothing is alike. */
export function nearestName(wanted: string, choices: readonly string[]): string | null {
  const pairs = pairsOf(wanted);
  let best: { name: string; likeness: number } | null = null;
  for (const name of choices) {
    const likeness = alike(pairs, pairsOf(name));
    if (likeness > (best?.likeness ?? 0.3)) best = { name, likeness };
  }
  return best?.name ?? null;
}

/** Pairs of neighbouring letters of a name without its folder and extension, with how often each occurs. */
function pairsOf(name: string): ReadonlyMap<string, number> {
  const bare = name.toLowerCase().replace(/^.*[\\/]/, "").replace(/\.[a-z0-9]{1,12}$/, "").replace(/[^\p{L}\p{N}]+/gu, " ");
  const pairs = new Map<string, number>();
  const letters = ` ${bare} `;
  for (let i = 1; i < letters.length; i++) {
    const pair = letters.slice(i - 1, i + 1);
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  return pairs;
}

/** Dice's coefficient: 1 for the same pairs, 0 for none in common. */
function alike(one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>): number {
  const count = (pairs: ReadonlyMap<string, number>) => [...pairs.values()].reduce((sum, n) => sum + n, 0);
  let shared = 0;
  for (const [pair, n] of one) shared += Math.min(n, other.get(pair) ?? 0);
  return (2 * shared) / Math.max(1, count(one) + count(other));
}
