/**
 * Relation files of any size in no time: heap pages with valid headers and checksums that compress about three to one. The same
 * for the same arguments. No table knows them, so a server only ever copies them.
 * @packageDocumentation
 */
import { link, mkdir, open } from 'node:fs/promises';
import path from 'node:path';

const PAGE_BYTES = 8192;
const WORDS = PAGE_BYTES / 4;
const SEGMENT_PAGES = 131_072;
const SMALL_FILES = 20_000;
const TUPLES = 8;
const TUPLE_BYTES = 1008;
/** Of each tuple, what cannot be compressed. */
const NOISE_WORDS = 76;
const CHUNK_PAGES = 128;

/** Numbers that no relation of a fresh cluster has. */
const FIRST_RELFILENODE = 50_000_000;
const FIRST_LINKED_RELFILENODE = 60_000_000;
/** What is larger has the same segments again under the names of further relations: whoever copies files cannot tell. */
const DISTINCT_SEGMENTS = 4;

/**
 * Writes relations in segments of 1 GiB, and 20,000 small relations of one to three pages. Gives their bytes. On the disk
 * the large ones take at most 4 GiB: further ones are hard links to the segments of the first, whose checksums are right
 * wherever the same blocks stand.
 */
export async function generateRelations(database: string, gibibytes: number): Promise<number> {
  await mkdir(database, { recursive: true });
  const chunk = Buffer.alloc(CHUNK_PAGES * PAGE_BYTES);
  const pages = Math.round(gibibytes * SEGMENT_PAGES);
  const distinct = Math.min(pages, DISTINCT_SEGMENTS * SEGMENT_PAGES);
  for (let first = 0, segment = 0; first < distinct; first += SEGMENT_PAGES, segment += 1) {
    await using file = await open(path.join(database, segmentName(FIRST_RELFILENODE, segment)), 'w', 0o600);
    const last = Math.min(first + SEGMENT_PAGES, distinct);
    for (let block = first; block < last; block += CHUNK_PAGES) {
      const count = Math.min(CHUNK_PAGES, last - block);
      for (let index = 0; index < count; index += 1) fillPage(chunk, index, block + index, 1);
      await file.write(chunk, 0, count * PAGE_BYTES);
    }
  }
  const linked = Math.round((pages - distinct) / SEGMENT_PAGES);
  for (let number = 0; number < linked; number += 1) {
    const segment = number % DISTINCT_SEGMENTS;
    const relfilenode = FIRST_LINKED_RELFILENODE + Math.floor(number / DISTINCT_SEGMENTS);
    const from = path.join(database, segmentName(FIRST_RELFILENODE, segment));
    await link(from, path.join(database, segmentName(relfilenode, segment)));
  }
  return (distinct + linked * SEGMENT_PAGES + (await writeSmall(database, chunk))) * PAGE_BYTES;
}

const segmentName = (relfilenode: number, segment: number): string =>
  `${relfilenode}${segment === 0 ? '' : `.${segment}`}`;

async function writeSmall(database: string, chunk: Buffer): Promise<number> {
  let small = 0;
  for (let number = 1; number <= SMALL_FILES; number += 1) {
    const count = 1 + (number % 3);
    for (let block = 0; block < count; block += 1) fillPage(chunk, block, block, number + 1);
    await using file = await open(path.join(database, String(FIRST_RELFILENODE + number)), 'w', 0o600);
    await file.write(chunk, 0, count * PAGE_BYTES);
    small += count;
  }
  return small;
}

const TEXT = Buffer.alloc(TUPLE_BYTES, 'street warehouse customer invoice amount currency delivery district ');

/** Page `index` of the buffer becomes block `block` of a relation. */
function fillPage(buffer: Buffer, index: number, block: number, seed: number): void {
  const start = index * PAGE_BYTES;
  const words = new Uint32Array(buffer.buffer, buffer.byteOffset + start, WORDS);
  words.fill(0);
  words[1] = 0x10_00; // pd_lsn 0/1000: older than any backup
  words[3] = (24 + 4 * TUPLES) | ((PAGE_BYTES - TUPLES * TUPLE_BYTES) << 16); // pd_lower, pd_upper
  words[4] = PAGE_BYTES | ((PAGE_BYTES | 4) << 16); // pd_special, page size and layout version
  let noise = Math.imul(block + 1, 0x9e_37_79_b1) ^ Math.imul(seed, 0x85_eb_ca_77) || 1;
  for (let tuple = 0; tuple < TUPLES; tuple += 1) {
    const offset = PAGE_BYTES - (tuple + 1) * TUPLE_BYTES;
    words[6 + tuple] = offset | (1 << 15) | (TUPLE_BYTES << 17); // in use, with storage
    buffer.set(TEXT, start + offset);
    for (let word = 0; word < NOISE_WORDS; word += 1) {
      noise ^= noise << 13;
      noise ^= noise >>> 17;
      noise ^= noise << 5;
      words[offset / 4 + 6 + word] = noise;
    }
  }
  buffer.writeUInt16LE(checksumOf(words, block), start + 8);
}

/** See checksum_impl.h of PostgreSQL. */
const BASE_OFFSETS = Uint32Array.from([
  0x5b_1f_36_e9, 0xb8_52_59_60, 0x02_ab_50_aa, 0x1d_e6_6d_2a, 0x79_ff_46_7a, 0x9b_b9_f8_a3, 0x21_7e_7c_d2,
  0x83_e1_3d_2c, 0xf8_d4_47_4f, 0xe3_9e_b9_70, 0x42_c6_ae_16, 0x99_32_16_fa, 0x7b_09_3b_5d, 0x98_da_ff_3c,
  0xf7_18_90_2a, 0x0b_1c_9c_db, 0xe5_8f_76_4b, 0x18_76_36_bc, 0x5d_7b_3b_b1, 0xe7_3d_e7_de, 0x92_be_c9_79,
  0xcc_a6_c0_b2, 0x30_4a_09_79, 0x85_aa_43_d4, 0x78_31_25_bb, 0x6c_a8_ea_a2, 0xe4_07_ea_c6, 0x4b_5c_fc_3e,
  0x9f_bf_8c_76, 0x15_ca_20_be, 0xf2_ca_9f_d3, 0x95_9b_d7_56,
]);
const FNV_PRIME = 16_777_619;
const sums = new Uint32Array(BASE_OFFSETS.length);

/** The checksum field must be zero. */
function checksumOf(words: Uint32Array, block: number): number {
  sums.set(BASE_OFFSETS);
  for (let at = 0; at < WORDS + 2 * sums.length; at += sums.length)
    for (let lane = 0; lane < sums.length; lane += 1) {
      const mixed = (sums[lane] ?? 0) ^ (at < WORDS ? (words[at + lane] ?? 0) : 0);
      sums[lane] = Math.imul(mixed, FNV_PRIME) ^ (mixed >>> 17);
    }
  const folded = sums.reduce((all, each) => all ^ each, 0) ^ block;
  return ((folded >>> 0) % 65_535) + 1;
}
