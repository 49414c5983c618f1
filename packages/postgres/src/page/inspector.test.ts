import { type Lsn, lsn } from '@keyframe/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { createPageInspector } from './inspector.ts';
import { PAGE, type PageInspector, type PageQuestion } from './page-state.ts';

const PAGE_BYTES = 8192;
let inspector: PageInspector;

beforeEach(() => {
  inspector = createPageInspector();
});

/** A page with a plausible header, and its checksum at that block. */
function makePage(at: Lsn, block: number): Buffer {
  const page = Buffer.alloc(PAGE_BYTES);
  for (let index = 24; index < PAGE_BYTES; index += 1) page[index] = (index * 31 + block) & 0xff;
  page.writeUInt32LE(Number(at >> 32n), 0);
  page.writeUInt32LE(Number(at & 0xff_ff_ff_ffn), 4);
  page.writeUInt16LE(40, 12);
  page.writeUInt16LE(8000, 14);
  page.writeUInt16LE(PAGE_BYTES, 16);
  page.writeUInt16LE(0x2004, 18);
  return sealed(page, block);
}

function sealed(page: Buffer, block: number): Buffer {
  page.writeUInt16LE(inspector.checksum(page, block), 8);
  return page;
}

function stateOf(page: Uint8Array, question: Partial<PageQuestion> = {}): number {
  const states = new Uint8Array(1);
  const defaults = {
    firstBlock: 7,
    unchangedBelow: lsn(0x2_0000_0000n),
    verify: true,
    verifyBelow: lsn(0x3_0000_0000n),
  };
  inspector.inspect(page, { ...defaults, states, ...question });
  return states[0] ?? 255;
}

const OLD = lsn(0x1_0000_1000n);
const NEW = lsn(0x2_0000_0000n);
const TORN = lsn(0x3_0000_0000n);

describe('the checksum of a page', () => {
  // What page_checksum() of PostgreSQL 18's pageinspect says about pages of bytes (i * factor + i / 256) mod 256.
  it.each([
    [7, 0, 15_923],
    [21, 1, 42_494],
    [77, 131_071, 39_661],
    [203, 131_072, 32_010],
    [1757, 2_147_483_647, 20_867],
  ])('is what PostgreSQL says, pattern %i at block %i', (factor, block, expected) => {
    const page = Uint8Array.from({ length: PAGE_BYTES }, (_, index) => index * factor + (index >> 8));
    expect(inspector.checksum(page, block)).toBe(expected);
  });

  it('does not count the stored checksum itself', () => {
    const page = makePage(OLD, 7);
    const before = inspector.checksum(page, 7);
    page.writeUInt16LE(0xffff, 8);
    expect(inspector.checksum(page, 7)).toBe(before);
  });

  it('refuses anything but one page', () => {
    expect(() => inspector.checksum(new Uint8Array(4096), 0)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });
});

describe('a page', () => {
  it('is unchanged below the limit and changed from it on', () => {
    expect(stateOf(makePage(OLD, 7))).toBe(PAGE.unchanged);
    expect(stateOf(makePage(NEW, 7))).toBe(PAGE.changed);
    expect(stateOf(makePage(lsn(NEW - 1n), 7))).toBe(PAGE.unchanged);
  });

  it('is changed without a limit, and without an LSN', () => {
    expect(stateOf(makePage(OLD, 7), { unchangedBelow: undefined })).toBe(PAGE.changed);
    expect(stateOf(makePage(lsn(0n), 7))).toBe(PAGE.changed);
  });

  it('compares all 64 bits of an LSN', () => {
    const unchangedBelow = lsn(0xf000_0000_0000_0000n);
    const question = { unchangedBelow, verifyBelow: undefined };
    expect(stateOf(makePage(lsn(0xefff_ffff_ffff_ffffn), 7), question)).toBe(PAGE.unchanged);
    expect(stateOf(makePage(lsn(0xf000_0000_0000_0001n), 7), question)).toBe(PAGE.changed);
  });

  it('is damaged after a flip of any bit but those of its LSN that make it seem newer', () => {
    for (let bit = 64; bit < PAGE_BYTES * 8; bit += 61) {
      const page = makePage(OLD, 7);
      page[bit >> 3] = (page[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(stateOf(page), `bit ${bit}`).toBe(PAGE.damaged);
    }
  });

  it('is damaged at another block', () => {
    expect(stateOf(makePage(OLD, 7), { firstBlock: 8 })).toBe(PAGE.damaged);
  });

  it('is not judged when it may be torn', () => {
    const page = makePage(TORN, 7).fill(0xee, 4096);
    expect(stateOf(page)).toBe(PAGE.changed);
    expect(stateOf(page, { verifyBelow: undefined })).toBe(PAGE.damaged);
  });

  it('is damaged when no WAL can have reached its LSN', () => {
    const text = Buffer.alloc(PAGE_BYTES, 'written to the wrong place ');
    expect(stateOf(text)).toBe(PAGE.damaged);
    expect(stateOf(text, { verify: false })).toBe(PAGE.damaged);
    expect(stateOf(makePage(lsn(TORN + (1n << 44n) - 1n), 7))).toBe(PAGE.changed);
    expect(stateOf(makePage(lsn(TORN + (1n << 44n)), 7))).toBe(PAGE.damaged);
    const writtenBelow = lsn(TORN + 5n);
    expect(stateOf(makePage(lsn(TORN + 4n), 7), { writtenBelow })).toBe(PAGE.changed);
    expect(stateOf(makePage(writtenBelow, 7), { writtenBelow })).toBe(PAGE.damaged);
    const late = lsn(0xffff_ffff_ffff_0000n);
    expect(stateOf(makePage(lsn(late + 1n), 7), { verifyBelow: late })).toBe(PAGE.changed);
  });

  it('keeps its checksum to itself where the cluster has none', () => {
    const page = makePage(OLD, 7);
    page[5000] = (page[5000] ?? 0) ^ 1;
    expect(stateOf(page, { verify: false })).toBe(PAGE.unchanged);
  });

  it('is zero when all of it is, and damaged when it only says it is new', () => {
    const page = Buffer.alloc(PAGE_BYTES);
    expect(stateOf(page)).toBe(PAGE.zero);
    for (const place of [0, 9, 20, 4096, 8191]) {
      const spoiled = Buffer.alloc(PAGE_BYTES);
      spoiled[place] = 1;
      expect(stateOf(spoiled), `byte ${place}`).toBe(PAGE.damaged);
    }
  });

  it.each([
    ['flags that do not exist', 10, 0x0008],
    ['a free space that ends before it begins', 12, 8001],
    ['a special space before the free space ends', 14, 8200],
    ['a special space beyond the page', 16, 8200],
    ['a special space at an odd place', 16, 8190],
  ])('is damaged by %s, though its checksum is right', (_, offset, value) => {
    const page = makePage(OLD, 7);
    page.writeUInt16LE(value, offset);
    sealed(page, 7);
    expect(stateOf(page)).toBe(PAGE.damaged);
    expect(stateOf(page, { verify: false })).toBe(PAGE.damaged);
  });
});

describe('many pages', () => {
  const COUNT = 333;
  const kinds = [OLD, NEW, undefined, OLD] as const;
  const expected = Array.from({ length: COUNT }, (_, index) => {
    const kind = kinds[index % 4];
    if (kind === undefined) return PAGE.zero;
    if (index % 4 === 3) return PAGE.damaged;
    return kind === OLD ? PAGE.unchanged : PAGE.changed;
  });

  function makePages(): Buffer {
    return Buffer.concat(
      expected.map((state, index) => {
        const kind = kinds[index % 4];
        const page = kind === undefined ? Buffer.alloc(PAGE_BYTES) : makePage(kind, 100 + index);
        if (state === PAGE.damaged) page[8000] = (page[8000] ?? 0) ^ 0x10;
        return page;
      }),
    );
  }
  const question = { firstBlock: 100, unchangedBelow: NEW, verify: true, verifyBelow: TORN };

  it('are judged one by one, wherever they lie', () => {
    const pages = makePages();
    const shifted = new Uint8Array(pages.length + 3).subarray(3);
    shifted.set(pages);
    const inPlace = inspector.memory.subarray(8192, 8192 + pages.length);
    for (const bytes of [pages, shifted, inPlace]) {
      if (bytes === inPlace) inPlace.set(pages);
      const states = new Uint8Array(COUNT + 1).fill(9);
      const counts = inspector.inspect(bytes, { ...question, states });
      expect([...states]).toEqual([...expected, 9]);
      expect(counts).toEqual({ unchanged: 84, zero: 83, damaged: 83 });
    }
  });

  it('are refused when they are not whole, or more than there are states', () => {
    const refused = expect.objectContaining({ code: 'INVALID_OPTION' });
    const states = new Uint8Array(1);
    expect(() => inspector.inspect(new Uint8Array(8000), { ...question, states })).toThrow(refused);
    expect(() => inspector.inspect(new Uint8Array(16_384), { ...question, states })).toThrow(refused);
  });
});
