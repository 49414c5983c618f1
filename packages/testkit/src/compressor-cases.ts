import { randomBytes } from 'node:crypto';
import { type Compressor, hasCode } from '@keyframe/contracts';
import { type ContractCase, raises, same, sameBytes } from './contract.ts';

const MIB = 1 << 20;
const SIZES = [0, 1, 100, 64 * 1024, 256 * 1024, 256 * 1024 + 1, MIB, 5 * MIB + 3];

/** Data as pages are: runs, repeats and noise. Reproducible. */
function pages(sizeBytes: number, seed = 1): Buffer {
  const data = Buffer.alloc(sizeBytes);
  let state = seed;
  for (let at = 0; at < sizeBytes; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    if (at % 4096 > 1500) data[at] = at % 3 === 0 ? state >>> 24 : 0x40 + (at % 17);
  }
  return data;
}

const KINDS: readonly (readonly [string, (sizeBytes: number) => Buffer])[] = [
  ['page-like', pages],
  ['random', randomBytes],
  ['zero', (sizeBytes) => Buffer.alloc(sizeBytes)],
];

const checksAndShrinks: ContractCase<Compressor>['needs'] = {
  reason: 'this compressor stores frames as they are, so their integrity rests on the hash kept beside them',
  met: async (compressor) => !Buffer.from(await compressor.compress(pages(5_000))).equals(pages(5_000)),
};

/** Resolves when the fault is CORRUPT or the very same bytes come back: never other bytes. */
async function neverOtherBytes(
  compressor: Compressor,
  frame: Uint8Array,
  plain: Uint8Array,
): Promise<'refused' | 'same'> {
  try {
    sameBytes(await compressor.decompress(frame, plain.length), plain, 'a damaged frame');
  } catch (error) {
    if (hasCode(error, 'CORRUPT')) return 'refused';
    throw error;
  }
  return 'same';
}

const integrityCases: readonly ContractCase<Compressor>[] = [
  {
    name: 'a flipped bit never gives other bytes, and is refused in the payload',
    needs: checksAndShrinks,
    async run(compressor) {
      const plain = pages(20_000);
      const frame = await compressor.compress(plain);
      const step = Math.max(1, Math.floor(frame.length / 400));
      for (let at = 0; at < frame.length; at += at < 24 || at > frame.length - 24 ? 1 : step) {
        const damaged = Uint8Array.from(frame);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
        const outcome = await neverOtherBytes(compressor, damaged, plain);
        // Header bytes may carry facts that do not matter to the content.
        if (at >= 24) same(outcome, 'refused', `flip at ${at} of ${frame.length}`);
      }
    },
  },
  {
    name: 'page-like data gets smaller',
    needs: checksAndShrinks,
    async run(compressor) {
      const frame = await compressor.compress(pages(MIB));
      same(frame.length < MIB / 1.2, true, 'smaller by a fifth');
    },
  },
  {
    name: 'other bytes than a frame are refused',
    needs: checksAndShrinks,
    async run(compressor) {
      const plain = pages(1_000);
      for (const bytes of [Buffer.alloc(1_000), randomBytes(1_000), plain, Buffer.alloc(4)])
        await raises('CORRUPT', () => compressor.decompress(bytes, 1_000));
    },
  },
];

const refusalCases: readonly ContractCase<Compressor>[] = [
  {
    name: 'a cut frame is refused wherever it is cut',
    async run(compressor) {
      for (const plain of [pages(20_000), pages(1), randomBytes(300_000)]) {
        const frame = await compressor.compress(plain);
        const cuts = [0, 1, 2, 5, 10, frame.length >> 1, frame.length - 9, frame.length - 4, frame.length - 1];
        for (const cut of cuts.filter((length) => length >= 0 && length < frame.length))
          await raises('CORRUPT', () => compressor.decompress(frame.subarray(0, cut), plain.length));
      }
    },
  },
  {
    name: 'anything after the frame is refused',
    async run(compressor) {
      const plain = pages(20_000);
      const frame = await compressor.compress(plain);
      const tails = [Buffer.alloc(1), Buffer.alloc(8), randomBytes(100), frame, await compressor.compress(pages(1))];
      for (const tail of tails)
        await raises('CORRUPT', () => compressor.decompress(Buffer.concat([frame, tail]), plain.length));
    },
  },
  {
    name: 'an empty frame after the frame is refused',
    needs: checksAndShrinks,
    async run(compressor) {
      const [frame, empty] = [await compressor.compress(pages(20_000)), await compressor.compress(pages(0))];
      await raises('CORRUPT', () => compressor.decompress(Buffer.concat([frame, empty]), 20_000));
      await raises('CORRUPT', () => compressor.decompress(Buffer.concat([empty, empty]), 0));
    },
  },
  {
    name: 'a frame of another size than told is refused',
    async run(compressor) {
      for (const size of [1, 1_000, 300_000]) {
        const frame = await compressor.compress(pages(size));
        for (const told of [0, size - 1, size + 1, size * 2])
          await raises('CORRUPT', () => compressor.decompress(frame, told));
      }
      const empty = await compressor.compress(Buffer.of());
      await raises('CORRUPT', () => compressor.decompress(empty, 1));
    },
  },
];

const roundTripCases: readonly ContractCase<Compressor>[] = KINDS.flatMap(([kind, make]) =>
  SIZES.map((size) => ({
    name: `${size} bytes of ${kind} data come back the same`,
    async run(compressor: Compressor) {
      const plain = make(size);
      sameBytes(await compressor.decompress(await compressor.compress(plain), size), plain);
    },
  })),
);

/** What every compressor must do. */
export const compressorCases: readonly ContractCase<Compressor>[] = [
  {
    name: 'its id is 1 to 8 of a-z, 0-9 and -',
    async run({ id }) {
      same(/^[a-z0-9-]{1,8}$/.test(id), true, id);
    },
  },
  ...roundTripCases,
  {
    name: 'input is a view into a larger buffer, and stays unchanged',
    async run(compressor) {
      const whole = pages(100_000);
      const before = Buffer.from(whole);
      const view = new Uint8Array(whole.buffer, whole.byteOffset + 1_001, 50_000);
      const frame = await compressor.compress(view);
      const shifted = Buffer.concat([Buffer.alloc(13), frame]).subarray(13);
      const stored = Buffer.from(frame);
      sameBytes(await compressor.decompress(shifted, view.length), view);
      sameBytes(whole, before, 'input of compress');
      sameBytes(shifted, stored, 'input of decompress');
    },
  },
  {
    name: 'the compressed frame is not a view of its input',
    async run(compressor) {
      const plain = Buffer.from(randomBytes(10_000));
      const kept = Buffer.from(plain);
      const frame = await compressor.compress(plain);
      plain.fill(0);
      sameBytes(await compressor.decompress(frame, kept.length), kept);
    },
  },
  {
    name: '16 frames at once do not disturb each other',
    async run(compressor) {
      const plains = Array.from({ length: 16 }, (_, index) => pages(100_000 + index * 1_000, index + 1));
      const frames = await Promise.all(plains.map((plain) => compressor.compress(plain)));
      const back = await Promise.all(
        frames.map((frame, index) => compressor.decompress(frame, 100_000 + index * 1_000)),
      );
      for (const [index, plain] of plains.entries()) sameBytes(back[index] ?? Buffer.of(), plain, `frame ${index}`);
    },
  },
  ...refusalCases,
  ...integrityCases,
];
