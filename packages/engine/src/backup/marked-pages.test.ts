import { describe, expect, it } from 'vitest';
import { isAllVisible, MarkedPages } from './marked-pages.ts';

const page = (block: number, change = {}) => ({ tablespace: 1663, database: 5, relfilenode: 16_384, block, ...change });

describe('pages that were marked', () => {
  it('are known one by one', () => {
    const marked = new MarkedPages();
    const blocks = [0, 7, 8, 16_383, 16_384, 4_294_967_294];
    for (const block of blocks) marked.add(page(block));
    for (const block of blocks) expect(marked.has(page(block))).toBe(true);
    for (const block of [1, 6, 9, 16_385, 32_768]) expect(marked.has(page(block))).toBe(false);
    for (const other of [{ tablespace: 1 }, { database: 1 }, { relfilenode: 1 }])
      expect(marked.has(page(0, other))).toBe(false);
  });

  it('are all of them where there are too many to be remembered, or the WAL does not tell', () => {
    const many = new MarkedPages(2);
    for (const relfilenode of [1, 2]) many.add(page(3, { relfilenode }));
    expect(many.has(page(4, { relfilenode: 2 }))).toBe(false);
    many.add(page(3, { relfilenode: 3 }));
    expect(many.has(page(4, { relfilenode: 2 }))).toBe(true);
    const unknown = new MarkedPages();
    unknown.addAll();
    expect(unknown.has(page(1))).toBe(true);
  });

  it('say so themselves', () => {
    const bytes = Buffer.alloc(8192);
    bytes.writeUInt16LE(0x03, 10);
    expect(isAllVisible(bytes)).toBe(false);
    bytes.writeUInt16LE(0x04, 10);
    expect(isAllVisible(bytes)).toBe(true);
  });
});
