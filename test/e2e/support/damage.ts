/** Damaging stored objects on purpose. @packageDocumentation */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import type { Random } from '@keyframe/testkit/postgres';

/** One way in which a disk or a network spoils an object. */
export interface Damage {
  readonly what: string;
  apply(bytes: Buffer): Buffer;
}

/** Flips of one bit at the head, at the tail and evenly in between, and cuts at telling lengths. */
export function damagesOf(sizeBytes: number, count: number, random: Random): readonly Damage[] {
  const edge = Math.min(16, sizeBytes);
  const places = new Set([
    ...Array.from({ length: edge }, (_, index) => index),
    ...Array.from({ length: edge }, (_, index) => sizeBytes - 1 - index),
    // One in every stretch of equal length, so that no region is left out.
    ...Array.from({ length: count }, (_, index) => Math.floor(((index + random.fraction()) * sizeBytes) / count)),
  ]);
  const cuts = new Set([0, 1, Math.floor(sizeBytes / 2), sizeBytes - 50, sizeBytes - 1].filter((each) => each >= 0));
  return [
    ...[...places].toSorted((a, b) => a - b).map((place) => flip(place, random.between(0, 7))),
    ...[...cuts].map((length) => ({
      what: `cut to ${length} bytes`,
      apply: (bytes: Buffer) => bytes.subarray(0, length),
    })),
    { what: 'bytes after its end', apply: (bytes) => Buffer.concat([bytes, Buffer.from('more')]) },
  ];
}

/** One bit of one byte. */
export function flip(place: number, bit: number): Damage {
  return {
    what: `bit ${bit} of byte ${place}`,
    apply: (bytes) => {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(place) ^ (1 << bit), place);
      return changed;
    },
  };
}

/** Leaves the file damaged until disposal. */
export async function damaged(path: string, damage: Damage): Promise<AsyncDisposable> {
  const bytes = await readFile(path);
  await chmod(path, 0o640);
  await writeFile(path, damage.apply(bytes));
  return { [Symbol.asyncDispose]: () => writeFile(path, bytes) };
}
