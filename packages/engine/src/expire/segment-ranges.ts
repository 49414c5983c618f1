/** Segments first to last, both included, by running number. `last` may be infinite. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** The same set of numbers as ascending ranges that do not touch. */
export function union(ranges: readonly NumberRange[]): NumberRange[] {
  const merged: { first: number; last: number }[] = [];
  for (const { first, last } of ranges.toSorted((one, other) => one.first - other.first)) {
    const open = merged.at(-1);
    if (first > last) continue;
    if (open !== undefined && first <= open.last + 1) open.last = Math.max(open.last, last);
    else merged.push({ first, last });
  }
  return merged;
}

/** Ascending numbers as ranges. */
export function rangesOf(numbers: readonly number[]): NumberRange[] {
  const ranges: { first: number; last: number }[] = [];
  for (const number of numbers) {
    const open = ranges.at(-1);
    if (open !== undefined && number === open.last + 1) open.last = number;
    else ranges.push({ first: number, last: number });
  }
  return ranges;
}

/** The range that holds a number. `ranges` is what {@link union} or {@link rangesOf} gives. */
export function rangeAt(ranges: readonly NumberRange[], number: number): NumberRange | undefined {
  let [low, high] = [0, ranges.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (range === undefined || number < range.first) high = middle - 1;
    else if (number > range.last) low = middle + 1;
    else return range;
  }
  return undefined;
}

/** What both have. */
export function intersection(one: readonly NumberRange[], other: readonly NumberRange[]): NumberRange[] {
  const both = one.flatMap((a) =>
    other.map((b) => ({ first: Math.max(a.first, b.first), last: Math.min(a.last, b.last) })),
  );
  return union(both);
}

/** What only the first has. */
export function difference(from: readonly NumberRange[], without: readonly NumberRange[]): NumberRange[] {
  let left = union(from);
  for (const cut of union(without))
    left = left.flatMap(({ first, last }) => [
      ...(first < cut.first ? [{ first, last: Math.min(last, cut.first - 1) }] : []),
      ...(last > cut.last ? [{ first: Math.max(first, cut.last + 1), last }] : []),
    ]);
  return left;
}
