import { describe, expect, it } from 'vitest';
import { type EntrySink, IncrementalDecoder } from './incremental-decoder.ts';
import type { BackupEntry } from './types.ts';

const BLOCK = 8192;

/** As basebackup_incremental.c writes it. */
function fileOf(blocks: readonly number[], truncationBlocks: number): Buffer {
  const bare = 12 + 4 * blocks.length;
  const head = Buffer.alloc(blocks.length === 0 ? bare : Math.ceil(bare / BLOCK) * BLOCK);
  head.writeUInt32LE(0xd3ae1f0d, 0);
  head.writeUInt32LE(blocks.length, 4);
  head.writeUInt32LE(truncationBlocks, 8);
  for (const [index, block] of blocks.entries()) head.writeUInt32LE(block, 12 + 4 * index);
  return Buffer.concat([head, ...blocks.map((block) => Buffer.alloc(BLOCK, (block % 250) + 1))]);
}

interface Seen {
  readonly entries: BackupEntry[];
  readonly pieces: Buffer[];
  ends: number;
}

function collector(): { readonly seen: Seen; readonly sink: EntrySink } {
  const seen: Seen = { entries: [], pieces: [], ends: 0 };
  const sink: EntrySink = {
    entry: async (entry) => void seen.entries.push(entry),
    bytes: (view) => void seen.pieces.push(Buffer.from(view)),
    end: () => void (seen.ends += 1),
  };
  return { seen, sink };
}

const entryOf = (path: string, sizeBytes: number): BackupEntry => ({
  path,
  type: 'file',
  mode: 0o600,
  modifiedAtSeconds: 7,
  sizeBytes,
});

async function decode(content: Buffer, path = 'base/5/INCREMENTAL.16384', cut = 3000): Promise<Seen> {
  const { seen, sink } = collector();
  const decoder = new IncrementalDecoder(sink);
  await decoder.entry(entryOf(path, content.length));
  for (let offset = 0; offset < content.length; offset += cut)
    await decoder.bytes(content.subarray(offset, offset + cut));
  await decoder.end();
  return seen;
}

describe('a file of blocks', () => {
  it.each([
    ['some blocks', [3, 4, 9], 20, 20],
    ['no block', [], 5, 5],
    ['blocks beyond where it was cut', [0, 30], 10, 31],
    ['nothing at all', [], 0, 0],
    [
      'so many blocks that its head has several of them',
      Array.from({ length: 3000 }, (_, index) => index * 2),
      1,
      5999,
    ],
  ])('has %s', async (_, blocks, truncationBlocks, lengthBlocks) => {
    const file = fileOf(blocks, truncationBlocks);
    for (const cut of [1 << 20, 8192, 5]) {
      if (file.length / cut > 100_000) continue;
      const { entries, pieces, ends } = await decode(file, 'base/5/INCREMENTAL.16384.1', cut);
      const sizeBytes = blocks.length * BLOCK;
      const incremental = { blocks: Uint32Array.from(blocks), truncationBlocks, lengthBlocks };
      expect(entries).toEqual([{ ...entryOf('base/5/16384.1', sizeBytes), incremental }]);
      expect(Buffer.concat(pieces).compare(file.subarray(file.length - sizeBytes))).toBe(0);
      expect(ends).toBe(1);
    }
  });

  it('stands beside whole files', async () => {
    for (const path of ['base/5/16384', 'INCREMENTAL.md', 'base/5/INCREMENTAL.pg_filenode.map', 'log/INCREMENTAL.1']) {
      const { entries, pieces } = await decode(Buffer.from('content'), path);
      expect(entries).toEqual([entryOf(path, 7)]);
      expect(Buffer.concat(pieces).toString()).toBe('content');
    }
  });

  const damaged = (change: (file: Buffer) => Buffer | void): Buffer => {
    const file = fileOf([1, 2, 5], 9);
    return change(file) ?? file;
  };
  it.each([
    ['another magic number', damaged((file) => void file.writeUInt32LE(1, 0))],
    ['more blocks than it holds', damaged((file) => void file.writeUInt32LE(4, 4))],
    ['a count without end', damaged((file) => void file.writeUInt32LE(0xffff_ffff, 4))],
    ['blocks in no order', damaged((file) => void file.writeUInt32LE(2, 12))],
    ['a length without end', damaged((file) => void file.writeUInt32LE(0xffff_ffff, 8))],
    ['an early end', damaged((file) => file.subarray(0, file.length - BLOCK))],
    ['less than a head', Buffer.alloc(11)],
    ['nothing', Buffer.alloc(0)],
  ])('is refused with %s', async (_, file) => {
    await expect(decode(file)).rejects.toMatchObject({ code: 'CORRUPT' });
  });
});
