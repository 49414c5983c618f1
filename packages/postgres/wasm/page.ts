// Judges pages of relations. AssemblyScript, not TypeScript: scripts/build-wasm.ts compiles it to WebAssembly with SIMD.
// Nothing is allocated: the caller lays out the memory.
// See src/include/storage/checksum_impl.h, bufpage.h and PageIsVerified() in src/backend/storage/page/bufpage.c of PostgreSQL.

const PAGE_BYTES: i32 = 8192;
const ROW_BYTES: i32 = 128;
const FNV_PRIME: i32 = 16777619;

// Offsets in a page header: the LSN is two 32-bit halves, the higher one first.
const CHECKSUM: i32 = 8;
const FLAGS: i32 = 10;
const LOWER: i32 = 12;
const UPPER: i32 = 14;
const SPECIAL: i32 = 16;
const VALID_FLAGS: i32 = 0x0007;

// As PAGE in src/page/page-state.ts.
const CHANGED: u8 = 0;
const UNCHANGED: u8 = 1;
const ZERO: u8 = 2;
const DAMAGED: u8 = 3;

@inline
function mix(sum: v128, value: v128): v128 {
  const mixed = v128.xor(sum, value);
  return v128.xor(i32x4.mul(mixed, i32x4.splat(FNV_PRIME)), i32x4.shr_u(mixed, 17));
}

/** 32 sums side by side, of the page as if its checksum were zero. */
function sumOf(page: usize): i32 {
  let a = i32x4(0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a);
  let b = i32x4(0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c);
  let c = i32x4(0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa);
  let d = i32x4(0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb);
  let e = i32x4(0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de);
  let f = i32x4(0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4);
  let g = i32x4(0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e);
  let h = i32x4(0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756);
  a = mix(a, v128.and(v128.load(page), i32x4(-1, -1, 0xffff0000, -1)));
  b = mix(b, v128.load(page, 16));
  c = mix(c, v128.load(page, 32));
  d = mix(d, v128.load(page, 48));
  e = mix(e, v128.load(page, 64));
  f = mix(f, v128.load(page, 80));
  g = mix(g, v128.load(page, 96));
  h = mix(h, v128.load(page, 112));
  const end = page + PAGE_BYTES;
  for (let row = page + ROW_BYTES; row < end; row += ROW_BYTES) {
    a = mix(a, v128.load(row));
    b = mix(b, v128.load(row, 16));
    c = mix(c, v128.load(row, 32));
    d = mix(d, v128.load(row, 48));
    e = mix(e, v128.load(row, 64));
    f = mix(f, v128.load(row, 80));
    g = mix(g, v128.load(row, 96));
    h = mix(h, v128.load(row, 112));
  }
  const none = i32x4.splat(0);
  for (let round = 0; round < 2; round++) {
    a = mix(a, none);
    b = mix(b, none);
    c = mix(c, none);
    d = mix(d, none);
    e = mix(e, none);
    f = mix(f, none);
    g = mix(g, none);
    h = mix(h, none);
  }
  const left = v128.xor(v128.xor(a, b), v128.xor(c, d));
  const right = v128.xor(v128.xor(e, f), v128.xor(g, h));
  const all = v128.xor(left, right);
  return (
    i32x4.extract_lane(all, 0) ^ i32x4.extract_lane(all, 1) ^ i32x4.extract_lane(all, 2) ^ i32x4.extract_lane(all, 3)
  );
}

/** PostgreSQL's pg_checksum_page. */
export function checksum(page: usize, block: u32): u32 {
  return ((sumOf(page) as u32) ^ block) % 65535 + 1;
}

function isZero(page: usize): bool {
  const end = page + PAGE_BYTES;
  for (let row = page; row < end; row += 64) {
    const left = v128.or(v128.load(row), v128.load(row, 16));
    const right = v128.or(v128.load(row, 32), v128.load(row, 48));
    if (v128.any_true(v128.or(left, right))) return false;
  }
  return true;
}

function isSane(page: usize): bool {
  const upper = load<u16>(page, UPPER) as i32;
  const special = load<u16>(page, SPECIAL) as i32;
  return (
    (load<u16>(page, FLAGS) & ~VALID_FLAGS) == 0 &&
    (load<u16>(page, LOWER) as i32) <= upper &&
    upper <= special &&
    special <= PAGE_BYTES &&
    (special & 7) == 0
  );
}

function judge(
  page: usize,
  block: u32,
  unchangedBelow: u64,
  verify: bool,
  verifyBelow: u64,
  writtenBelow: u64,
): u8 {
  const isNew = load<u16>(page, UPPER) == 0;
  if (isNew && isZero(page)) return ZERO;
  const lsn = rotl(load<u64>(page), 32);
  if (lsn >= verifyBelow) return lsn < writtenBelow ? CHANGED : DAMAGED;
  // The server refuses to read a page that says it is new and is not zero.
  if (isNew || !isSane(page)) return DAMAGED;
  if (verify && checksum(page, block) != load<u16>(page, CHECKSUM)) return DAMAGED;
  return lsn != 0 && lsn < unchangedBelow ? UNCHANGED : CHANGED;
}

/**
 * Judges `count` pages, at most 1023, and writes a state for each.
 * @returns how many are unchanged, zero and damaged, ten bits each from the lowest on
 */
export function inspect(
  pages: usize,
  count: i32,
  states: usize,
  firstBlock: u32,
  unchangedBelow: u64,
  verify: bool,
  verifyBelow: u64,
  writtenBelow: u64,
): u32 {
  let unchanged: u32 = 0;
  let zero: u32 = 0;
  let damaged: u32 = 0;
  for (let index = 0; index < count; index++) {
    const page = pages + index * PAGE_BYTES;
    const state = judge(page, firstBlock + index, unchangedBelow, verify, verifyBelow, writtenBelow);
    store<u8>(states + index, state);
    if (state == UNCHANGED) unchanged++;
    else if (state == ZERO) zero++;
    else if (state == DAMAGED) damaged++;
  }
  return unchanged | (zero << 10) | (damaged << 20);
}
