const SHOWN = 5;

/** Up to five different names, those most like `name` first; of equals the newest. */
export function nearestNames(name: string, names: readonly string[]): readonly string[] {
  const unique = [...new Set(names.toReversed())];
  return unique
    .map((each) => ({ each, distance: distance(fold(name), fold(each)) }))
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, SHOWN)
    .map(({ each }) => each);
}

/** Case and separators are what people get wrong most. */
const fold = (name: string): string => name.toLowerCase().replaceAll(/[\s_.-]+/g, '_');

/** Levenshtein's: how many characters must be changed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substituted));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
