import type { TimelineId } from '@keyframe/contracts';
import type { ChangedBlocks, SegmentIndex } from '@keyframe/wal';
import { damaged } from '../objects/damage.ts';
import { decodeBlocks, decodeDetails, decodeState, decodeSummary, type DecodedSummary } from './index-codec.ts';
import { IndexObject, type IndexSource } from './index-object.ts';
import type { OpenedWalIndex, SegmentSummary, WalIndexState } from './wal-index.ts';

/** An object of the index whose summary was read. */
export class OpenedIndex implements OpenedWalIndex {
  readonly #object: IndexObject;
  readonly #summary: DecodedSummary;
  readonly #key: string;

  private constructor(object: IndexObject, summary: DecodedSummary, key: string) {
    this.#object = object;
    this.#summary = summary;
    this.#key = key;
  }

  /** @throws {KeyframeError} CORRUPT, NOT_FOUND, REPOSITORY_FORMAT, KEY_REQUIRED */
  static async open(source: IndexSource): Promise<OpenedIndex> {
    const { key, startLsn, endLsn } = source.ref;
    const object = await IndexObject.open(source);
    const summary = decodeSummary(await object.read(0), key);
    if (summary.segments[0]?.summary.startLsn !== startLsn || summary.segments.at(-1)?.summary.endLsn !== endLsn)
      throw damaged(key, 'it is of other segments than its name says');
    return new OpenedIndex(object, summary, key);
  }

  get timeline(): TimelineId {
    return this.#summary.timeline;
  }

  get segmentSizeBytes(): number {
    return this.#summary.segmentSizeBytes;
  }

  get segments(): readonly SegmentSummary[] {
    return this.#summary.segments.map(({ summary }) => summary);
  }

  get outline(): Uint8Array | undefined {
    return this.#summary.outline;
  }

  async load(): Promise<void> {
    const { detailFrames } = this.#summary;
    if (detailFrames > 0) await this.#object.load(1, detailFrames);
  }

  async *details(wants: (summary: SegmentSummary) => boolean = () => true): AsyncGenerator<SegmentIndex> {
    const { segments, relations, detailFrames } = this.#summary;
    let [frame, at] = [0, 0];
    let content: Uint8Array | undefined;
    let length = this.#frameBytes(frame);
    for (const { summary, detailBytes } of segments) {
      while (at >= length && frame + 1 < detailFrames) {
        frame += 1;
        at = 0;
        content = undefined;
        length = this.#frameBytes(frame);
      }
      if (wants(summary)) {
        content ??= await this.#object.read(1 + frame);
        yield decodeDetails(content.subarray(at, at + detailBytes), summary, relations, this.#key);
      }
      at += detailBytes;
    }
  }

  async blocks(): Promise<ChangedBlocks[]> {
    const { detailFrames, relations } = this.#summary;
    return decodeBlocks(await this.#object.read(1 + detailFrames), relations, this.#key);
  }

  async state(): Promise<WalIndexState | undefined> {
    const number = this.#summary.detailFrames + 2;
    return number < this.#object.frames ? decodeState(await this.#object.read(number), this.#key) : undefined;
  }

  #frameBytes(frame: number): number {
    return this.#object.plainBytes(1 + frame);
  }
}
