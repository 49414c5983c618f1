import { lsn } from '@keyframe/contracts';
import { createPageInspector } from '@keyframe/postgres';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CHUNK_BYTES, PAGE_BYTES, type PageFile, PageGatherer, PageLane, type PagePlace } from './page-lane.ts';

const BEFORE = lsn(0x1_00_00_28n);
const LIMIT = lsn(0x2_00_00_28n);
const AFTER = lsn(0x3_00_00_28n);

/** A page as PageInit() leaves it, with that LSN and, for a cluster with checksums, its checksum. */
function page(position: bigint, fill: number, block: number): Buffer {
  const bytes = Buffer.alloc(PAGE_BYTES, fill);
  bytes.fill(0, 0, 24);
  bytes.writeUInt32LE(Number(position >> 32n), 0);
  bytes.writeUInt32LE(Number(position & 0xff_ff_ff_ffn), 4);
  bytes.writeUInt16LE(24, 12);
  bytes.writeUInt16LE(PAGE_BYTES, 14);
  bytes.writeUInt16LE(PAGE_BYTES, 16);
  bytes.writeUInt16LE(PAGE_BYTES | 4, 18);
  bytes.writeUInt16LE(createPageInspector().checksum(bytes, block), 8);
  return bytes;
}

interface Taken {
  readonly runs: string[];
  readonly bytes: Buffer;
  readonly damaged: PagePlace[];
  /** Bytes that nobody is to take over unseen. */
  readonly distrusted: number[];
}

interface Setting {
  readonly keptBlocks?: number;
  readonly firstBlock?: number;
  /** Which calls of the sink ask to wait. */
  readonly waits?: (call: number) => boolean;
  readonly isDoubtful?: PageFile['isDoubtful'];
  readonly better?: (place: PagePlace) => Uint8Array | undefined;
}

async function take(content: Buffer, viewBytes: readonly number[], setting: Setting = {}): Promise<Taken> {
  const runs: string[] = [];
  const parts: Buffer[] = [];
  const damaged: PagePlace[] = [];
  const distrusted: number[] = [];
  let calls = 0;
  const note = (what: string, view: Uint8Array): void | Promise<void> => {
    runs.push(`${what} ${view.length / PAGE_BYTES}`);
    parts.push(Buffer.from(view));
    calls += 1;
    return setting.waits?.(calls) === true ? new Promise((resolve) => setImmediate(resolve)) : undefined;
  };
  const sink: PageFile['sink'] = {
    write: (view) => note('write', view),
    keep: (sizeBytes, view) => note('keep', view?.subarray(0, sizeBytes) ?? Buffer.alloc(sizeBytes)),
    end: () => undefined,
    stored: async () => [],
    take: () => undefined,
    distrust: (sizeBytes) => void distrusted.push(sizeBytes),
  };
  const inspector = createPageInspector();
  const lane = new PageLane(inspector, {
    unchangedBelow: LIMIT,
    verify: true,
    verifyBelow: AFTER,
    onDamage: async (place, bytes) => {
      damaged.push(place);
      const better = setting.better?.(place);
      if (better !== undefined) bytes.set(better);
    },
  });
  const gatherer = new PageGatherer(lane, inspector.memory.subarray(0, CHUNK_BYTES));
  const { firstBlock = 0, keptBlocks = Infinity } = setting;
  gatherer.begin({ path: 'base/5/1', sink, firstBlock, keptBlocks, isDoubtful: setting.isDoubtful });
  for (let at = 0, view = 0; at < content.length; view += 1) {
    const size = viewBytes[view % viewBytes.length] ?? content.length;
    await gatherer.push(content.subarray(at, at + size));
    at += size;
  }
  await gatherer.end();
  return { runs, bytes: Buffer.concat(parts), damaged, distrusted };
}

const pages = (positions: readonly bigint[], firstBlock = 0): Buffer =>
  Buffer.concat(positions.map((position, index) => page(position, index % 200, firstBlock + index)));

describe('pages on their way', () => {
  it('keep their bytes and order whatever the size of the views and whenever the writer waits', async () => {
    const state = fc.constantFrom(BEFORE, AFTER, LIMIT);
    await fc.assert(
      fc.asyncProperty(
        fc.array(state, { minLength: 1, maxLength: 70 }),
        fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 5 }),
        fc.nat({ max: PAGE_BYTES - 1 }),
        fc.integer({ min: 1, max: 4 }),
        async (positions, views, rest, every) => {
          const content = Buffer.concat([pages(positions), Buffer.alloc(rest, 9)]);
          const { bytes, runs } = await take(content, views, { waits: (call) => call % every === 0 });
          expect(bytes.equals(content)).toBe(true);
          const kept = positions.filter((each) => each === BEFORE).length;
          const sum = (what: string): number =>
            runs.filter((run) => run.startsWith(what)).reduce((total, run) => total + Number(run.split(' ')[1]), 0);
          expect(sum('keep')).toBe(kept);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('are handed on in runs', async () => {
    const positions = [BEFORE, BEFORE, AFTER, BEFORE, AFTER, AFTER, AFTER];
    expect((await take(pages(positions), [8192])).runs).toEqual(['keep 2', 'write 1', 'keep 1', 'write 3']);
  });

  it('are not kept from the block on at which the relation was cut or the base ends', async () => {
    const content = pages([BEFORE, BEFORE, BEFORE, BEFORE], 100);
    expect((await take(content, [5000], { firstBlock: 100, keptBlocks: 103 })).runs).toEqual(['keep 3', 'write 1']);
    expect((await take(content, [5000], { firstBlock: 100, keptBlocks: 0 })).runs).toEqual(['write 4']);
  });

  it('are not kept where something else than their LSN makes them doubtful', async () => {
    const content = pages([BEFORE, BEFORE, AFTER, BEFORE], 100);
    content.writeUInt16LE(0x04, 10);
    content.writeUInt16LE(createPageInspector().checksum(content.subarray(0, PAGE_BYTES), 100), 8);
    const asked: number[] = [];
    const isDoubtful = (block: number, bytes: Uint8Array): boolean => {
      asked.push(block);
      return block === 103 || bytes[10] === 0x04;
    };
    const { runs } = await take(content, [5000], { firstBlock: 100, isDoubtful });
    expect(runs).toEqual(['write 1', 'keep 1', 'write 2']);
    expect(asked).toEqual([100, 101, 103]);
  });

  it('are written when they are damaged or zero, and named by the block of their relation', async () => {
    const content = pages([BEFORE, BEFORE, BEFORE, BEFORE], 131_072);
    content[PAGE_BYTES + 5000] = 0xee;
    content.fill(0, 3 * PAGE_BYTES);
    const { runs, bytes, damaged, distrusted } = await take(content, [70_000], { firstBlock: 131_072 });
    expect(runs).toEqual(['keep 1', 'write 1', 'keep 1', 'write 1']);
    expect(bytes.equals(content)).toBe(true);
    expect(damaged).toEqual([{ path: 'base/5/1', block: 131_073, filePage: 1 }]);
    expect(distrusted).toEqual([content.length]);
  });

  it('are replaced by what a second look finds', async () => {
    const content = pages([AFTER, BEFORE]);
    const whole = Buffer.from(content);
    content[PAGE_BYTES + 100] = 0xee;
    const { bytes } = await take(content, [70_000], { better: () => whole.subarray(PAGE_BYTES) });
    expect(bytes.equals(whole)).toBe(true);
  });
});
