/** The word that somebody may have meant. Pure. */

/** The most alike of `words`, if any is alike enough: at most a third of its letters differ, or one is the beginning of the other. */
export function nearest(typed: string, words: readonly string[]): string | undefined {
  const ranked = words.map((word) => ({ word, away: distance(typed.toLowerCase(), word.toLowerCase()) })).sort((a, b) => a.away - b.away);
  const [best] = ranked;
  if (best && best.away <= Math.max(1, Math.floor(Math.max(best.word.length, typed.length) / 3))) return best.word;
  return typed.length >= 3 ? words.find((word) => word.startsWith(typed) || word.includes(`-${typed}`)) : undefined;
}

/** Levenshtein's distance: letters to insert, leave out or replace; two neighbours in the wrong order count once. */
export function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => Array.from({ length: b.length + 1 }, (_unused, j) => (i === 0 ? j : j === 0 ? i : 0)));
  for (let i = 1; i <= a.length; i++) for (let j = 1; j <= b.length; j++) {
    const same = a[i - 1] === b[j - 1];
    let least = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, rows[i - 1]![j - 1]! + (same ? 0 : 1));
    if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, rows[i - 2]![j - 2]! + 1);
    rows[i]![j] = least;
  }
  return rows[a.length]![b.length]!;
}
