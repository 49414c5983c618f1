/**
 * CRC-32C (Castagnoli), as PostgreSQL puts it on WAL records, `pg_control` and backup manifests.
 *
 * Eight table lookups handle eight bytes at once (about 10 ms for 16 MiB), which is faster than a native call for the
 * short records WAL is made of.
 * @see src/port/pg_crc32c_sb8.c in PostgreSQL
 * @packageDocumentation
 */

/** Castagnoli's polynomial, bits reversed. */
const POLYNOMIAL = 0x82_f6_3b_78;

function makeTables(): readonly Int32Array[] {
  const tables = Array.from({ length: 8 }, () => new Int32Array(256));
  const [first = new Int32Array(256)] = tables;
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    first[byte] = value;
  }
  tables.reduce((previous, table) => {
    for (let byte = 0; byte < 256; byte++) {
      const value = previous[byte] ?? 0;
      table[byte] = (value >>> 8) ^ (first[value & 0xff] ?? 0);
    }
    return table;
  });
  return tables;
}

const NONE = new Int32Array(256);
const [T0 = NONE, T1 = NONE, T2 = NONE, T3 = NONE, T4 = NONE, T5 = NONE, T6 = NONE, T7 = NONE] = makeTables();

/**
 * Feeds `bytes[start, end)` into a running CRC register (start with -1, complement at the end).
 * `view` must look at the same memory as `bytes`: it lets the caller make one view for many short ranges.
 */
export function updateCrc(register: number, bytes: Uint8Array, view: DataView, start: number, end: number): number {
  let crc = register;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const low = crc ^ view.getInt32(at, true);
    const high = view.getInt32(at + 4, true);
    // `Number` is for the type checker alone and compiles to nothing (`?? 0` would cost half again).
    crc =
      Number(T7[low & 0xff]) ^
      Number(T6[(low >>> 8) & 0xff]) ^
      Number(T5[(low >>> 16) & 0xff]) ^
      Number(T4[low >>> 24]) ^
      Number(T3[high & 0xff]) ^
      Number(T2[(high >>> 8) & 0xff]) ^
      Number(T1[(high >>> 16) & 0xff]) ^
      Number(T0[high >>> 24]);
  }
  for (; at < end; at++) crc = Number(T0[(crc ^ Number(bytes[at])) & 0xff]) ^ (crc >>> 8);
  return crc;
}

/**
 * CRC-32C of the bytes, 0 to 2^32 - 1. Pass the result of an earlier call as `seed` to continue over the next piece.
 * @see https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4
 */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return ~updateCrc(~seed, bytes, view, 0, bytes.length) >>> 0;
}
