import { damaged } from '../objects/damage.ts';

/** `1-40,44`: ascending numbers as ranges, short however many they are. */
export function formatNumbers(numbers: Iterable<number>): string {
  const ranges: { first: number; last: number }[] = [];
  for (const number of [...numbers].toSorted((one, other) => one - other)) {
    const range = ranges.at(-1);
    if (range !== undefined && number <= range.last + 1) range.last = number;
    else ranges.push({ first: number, last: number });
  }
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',');
}

/** @throws {KeyframeError} CORRUPT */
export function parseNumbers(text: string, key: string): number[] {
  if (text === '') return [];
  return text.split(',').flatMap((part) => {
    const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/u.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (first === undefined || to < from || to - from > 10_000_000)
      throw damaged(key, `${JSON.stringify(part)} is no range of numbers`);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}
