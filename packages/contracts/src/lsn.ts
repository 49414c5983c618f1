import { KeyframeError } from './errors.ts';

declare const lsnBrand: unique symbol;

/** A log sequence number: a byte position in the WAL of a database cluster, 0 to 2^64 - 1. Printed `16/B374D848`. */
export type Lsn = bigint & { readonly [lsnBrand]: true };

/** A timeline id, 1 to 2^32 - 1. In SQL and settings decimal, in file names eight hexadecimal digits. */
export type TimelineId = number;

const LIMIT = 1n << 64n;
const TEXT = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** @throws {KeyframeError} INVALID_OPTION for a value outside 64 bits. */
export function lsn(value: bigint): Lsn {
  if (value < 0n || value >= LIMIT) throw new KeyframeError('INVALID_OPTION', `LSN ${value} is outside 64 bits`);
  return value as Lsn;
}

/**
 * Reads PostgreSQL's text form.
 * @throws {KeyframeError} INVALID_OPTION
 * @see https://www.postgresql.org/docs/18/datatype-pg-lsn.html
 */
export function parseLsn(text: string): Lsn {
  const match = TEXT.exec(text);
  if (match === null)
    throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(text)} is not an LSN`, {
      hint: 'Write an LSN as two hexadecimal numbers, such as 16/B374D848 (select pg_current_wal_lsn()).',
    });
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn;
}

/** PostgreSQL's text form, e.g. `16/B374D848`. */
export function formatLsn(value: Lsn): string {
  return `${(value >> 32n).toString(16).toUpperCase()}/${(value & 0xff_ff_ff_ffn).toString(16).toUpperCase()}`;
}
