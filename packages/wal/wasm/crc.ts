// CRC-32C, sixteen bytes at a time: of sixteen lookups only four wait for the bytes before.
import { TABLES } from './layout';

/** Tables of Castagnoli's polynomial, bits reversed. */
export function prepareCrc(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) != 0 ? (value >> 1) ^ 0x82f63b78 : value >> 1;
    store<u32>(TABLES + (byte << 2), value);
  }
  for (let byte: u32 = 0; byte < 256; byte++) {
    let value = load<u32>(TABLES + (byte << 2));
    for (let table: u32 = 1; table < 16; table++) {
      value = (value >> 8) ^ load<u32>(TABLES + ((value & 0xff) << 2));
      store<u32>(TABLES + (table << 10) + (byte << 2), value);
    }
  }
}

/** Four bytes, with the tables from `table` downwards. */
@inline
function four(word: u32, table: u32): u32 {
  return (
    load<u32>(TABLES + (table << 10) + ((word & 0xff) << 2)) ^
    load<u32>(TABLES + ((table - 1) << 10) + (((word >> 8) & 0xff) << 2)) ^
    load<u32>(TABLES + ((table - 2) << 10) + (((word >> 16) & 0xff) << 2)) ^
    load<u32>(TABLES + ((table - 3) << 10) + ((word >> 24) << 2))
  );
}

/** Feeds bytes into a running CRC register. */
export function crc(register: u32, from: u32, to: u32): u32 {
  let sum = register;
  let at = from;
  for (; at + 16 <= to; at += 16)
    sum =
      four(load<u32>(at, 4), 11) ^ four(load<u32>(at, 8), 7) ^ four(load<u32>(at, 12), 3) ^ four(sum ^ load<u32>(at), 15);
  if (at + 8 <= to) {
    sum = four(load<u32>(at, 4), 3) ^ four(sum ^ load<u32>(at), 7);
    at += 8;
  }
  if (at + 4 <= to) {
    sum = four(sum ^ load<u32>(at), 3);
    at += 4;
  }
  for (; at < to; at++) sum = load<u32>(TABLES + (((sum ^ load<u8>(at)) & 0xff) << 2)) ^ (sum >> 8);
  return sum;
}

/** Whether the CRC of a whole record is the one in its header: of what follows the header, then of the header up to it. */
export function isRight(record: u32, total: u32): bool {
  const sum = crc(-1, record + 24, record + total);
  const most =
    four(load<u32>(record, 4), 11) ^
    four(load<u32>(record, 8), 7) ^
    four(load<u32>(record, 12), 3) ^
    four(sum ^ load<u32>(record), 15);
  return ~four(most ^ load<u32>(record, 16), 3) == load<u32>(record, 20);
}
