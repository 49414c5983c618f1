/**
 * Which files the mapped catalogues have, which no row can tell: that row would have to be found first.
 * @see src/backend/utils/cache/relmapper.c in PostgreSQL
 * @packageDocumentation
 */
const MAGIC = 0x59_27_17;
const MOST_MAPPINGS = 64;

/** File numbers by oid; `undefined` for bytes that are no relation map. */
export function readRelationMap(bytes: Uint8Array): Map<number, number> | undefined {
  if (bytes.length < 8) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = view.getInt32(4, true);
  if (view.getUint32(0, true) !== MAGIC || count < 0 || count > MOST_MAPPINGS) return undefined;
  if (bytes.length < 8 + count * 8) return undefined;
  const files = new Map<number, number>();
  for (let index = 0; index < count; index++)
    files.set(view.getUint32(8 + index * 8, true), view.getUint32(12 + index * 8, true));
  return files;
}
