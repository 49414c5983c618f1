/** A count with its noun: `1 pack`, `2 packs`, `1 copy`, `3 copies` (give the second form where it is not the first and an s). */
export function counted(count: number, one: string, many: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
