import { parseWalFileName, segmentName, segmentNumberOf, type TimelineId } from '@keyframe/contracts';
import { type CheckpointContent, type ExpiryContent, IDENTITY_BYTES, type SignedSegments } from './chain-entry.ts';
import { placeOf, SegmentSet } from './segment-sets.ts';

interface Run {
  readonly first: bigint;
  readonly last: bigint;
  readonly identities: Buffer;
}

/** The WAL files that a chain vouches for: 32 bytes for each. */
export class SignedWal {
  readonly #runs = new Map<TimelineId, Run[]>();
  readonly #files = new Map<string, string>();
  #segmentSizeBytes = 0;
  #expired: SegmentSet | undefined;

  get size(): number {
    let count = this.#files.size;
    for (const _ of this.#segments()) count += 1;
    return count;
  }

  add({ segmentSizeBytes, wal, files }: CheckpointContent): void {
    this.#segmentSizeBytes = segmentSizeBytes;
    for (const segments of wal) this.#addRun(segments);
    for (const { name, identity } of files) if (!this.#files.has(name)) this.#files.set(name, identity);
  }

  expire({ wal, files }: ExpiryContent): void {
    for (const name of files) this.#files.delete(name);
    if (this.#segmentSizeBytes === 0) return;
    const expired = (this.#expired ??= new SegmentSet(this.#segmentSizeBytes));
    for (const { first, last } of wal) {
      const [from, to] = [placeOf(first, this.#segmentSizeBytes), placeOf(last, this.#segmentSizeBytes)];
      expired.add(from.timeline, { first: from.number, last: to.number });
    }
  }

  identity(name: string): string | undefined {
    const file = parseWalFileName(name);
    if (file?.kind !== 'segment') return this.#files.get(name);
    if (this.#segmentSizeBytes === 0) return undefined;
    const number = segmentNumberOf(file, this.#segmentSizeBytes);
    const run = this.#runs.get(file.timeline)?.find(({ first, last }) => first <= number && number <= last);
    if (run === undefined || this.#expired?.has(file.timeline, number) === true) return undefined;
    const at = Number(number - run.first) * IDENTITY_BYTES;
    const identity = run.identities.subarray(at, at + IDENTITY_BYTES);
    // Zeros: it was named, and could not be read then.
    return identity.every((byte) => byte === 0) ? undefined : identity.toString('hex');
  }

  *names(): Generator<string> {
    yield* this.#files.keys();
    for (const { timeline, number } of this.#segments()) yield segmentName(timeline, number, this.#segmentSizeBytes);
  }

  *#segments(): Generator<{ readonly timeline: TimelineId; readonly number: bigint }> {
    for (const [timeline, runs] of this.#runs)
      for (const { first, last } of runs)
        for (let number = first; number <= last; number += 1n)
          if (this.#expired?.has(timeline, number) !== true) yield { timeline, number };
  }

  #addRun({ first, identities }: SignedSegments): void {
    if (identities.length === 0) return;
    const { timeline, number } = placeOf(first, this.#segmentSizeBytes);
    const runs = this.#runs.get(timeline) ?? [];
    const last = number + BigInt(identities.length / IDENTITY_BYTES) - 1n;
    runs.push({ first: number, last, identities });
    this.#runs.set(timeline, runs);
  }
}
