/** CRC-32C by a table: what is checked here has some hundred bytes. @packageDocumentation */

const POLYNOMIAL = 0x82_f6_3b_78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ ((value & 1) === 0 ? 0 : POLYNOMIAL);
  return value;
});

/** As the API writes it: an int64, and so a text in JSON. */
export function crc32c(bytes: Uint8Array): string {
  let value = 0xff_ff_ff_ff;
  for (const byte of bytes) value = (value >>> 8) ^ (TABLE[(value ^ byte) & 0xff] ?? 0);
  return String((value ^ 0xff_ff_ff_ff) >>> 0);
}
