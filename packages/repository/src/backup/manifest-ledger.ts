import type { ContentRecord, ExtentRecord } from '../format/extents.ts';
import type { BaseFrame } from './base-map.ts';
import type { FrameJob, FrameRole, ReadyFrame } from './frame-pipeline.ts';
import type { ManifestBuilder } from './manifest-builder.ts';
import type { PlacedFrame } from './pack-stream.ts';
import type { PackTable } from './pack-table.ts';
import type { Fragmentation } from './record.ts';
import type { ReferenceTarget } from './references.ts';

/** Tells the manifest of frames, be they of this backup or of others, and counts what they are used for. */
export class ManifestLedger implements ReferenceTarget {
  readonly #manifest: ManifestBuilder;
  readonly #packs: PackTable;
  readonly #figures = { extents: 0, liveBytes: 0, frameBytes: 0, readBytes: 0 };
  #reusedBytes = 0;

  constructor(manifest: ManifestBuilder, packs: PackTable) {
    this.#manifest = manifest;
    this.#packs = packs;
  }

  get figures(): { readonly reusedBytes: number; readonly fragmentation: Fragmentation } {
    return { reusedBytes: this.#reusedBytes, fragmentation: { otherPacks: this.#packs.others, ...this.#figures } };
  }

  /** A frame that this backup stored. */
  async stored({ role, extents }: FrameJob, { contents }: ReadyFrame, placed: PlacedFrame): Promise<void> {
    const { pack, number, entry } = placed;
    const records = extents.map(({ file, ...extent }) => ({ ordinal: file.ordinal, ...extent }));
    this.#count(pack, entry, records);
    await this.#manifest.frame(role, { ...entry, pack, number, extents: records });
    for (const { file, ...content } of contents) {
      const told = this.#manifest.content(role, { ordinal: file.ordinal, ...content });
      if (told !== undefined) await told;
    }
  }

  frame(role: FrameRole, frame: BaseFrame, extents: readonly ExtentRecord[]): void | Promise<void> {
    const { offset, storedBytes, plainBytes, sha256, number } = frame;
    const pack = this.#packs.other(frame.pack);
    this.#reusedBytes += this.#count(pack, frame, extents);
    return this.#manifest.frame(role, { offset, storedBytes, plainBytes, sha256, number, pack, extents });
  }

  zeros(role: FrameRole, range: ExtentRecord): void | Promise<void> {
    return this.#manifest.zeros(role, range);
  }

  content(role: FrameRole, content: ContentRecord): void | Promise<void> {
    return this.#manifest.content(role, content);
  }

  #count(
    pack: number,
    { storedBytes, plainBytes }: { readonly storedBytes: number; readonly plainBytes: number },
    extents: readonly ExtentRecord[],
  ): number {
    const liveBytes = extents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#packs.use(pack, liveBytes);
    this.#figures.extents += extents.length;
    this.#figures.liveBytes += liveBytes;
    this.#figures.frameBytes += plainBytes;
    this.#figures.readBytes += storedBytes;
    return liveBytes;
  }
}
