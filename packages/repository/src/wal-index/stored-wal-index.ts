import { type Abortable, formatLsn, hasCode, KeyframeError } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import type { EpochContext } from '../epoch-context.ts';
import { compressPayload, ContainerLayout, encodeFrame } from '../format/container-layout.ts';
import { createOnly } from '../objects/put-once.ts';
import { encodeIndex } from './index-codec.ts';
import { indexKey, parseIndexKey } from './index-place.ts';
import { OpenedIndex } from './opened-index.ts';
import type { OpenedWalIndex, WalIndex, WalIndexCache, WalIndexContent, WalIndexRef } from './wal-index.ts';

/** Keys in one request: what S3 takes at once. */
const BATCH = 1000;

/** The index of one epoch, as containers below `index/`. */
export class StoredWalIndex implements WalIndex {
  readonly #context: EpochContext;

  constructor(context: EpochContext) {
    this.#context = context;
  }

  async list({ signal }: Abortable = {}): Promise<WalIndexRef[]> {
    const refs: WalIndexRef[] = [];
    const { store, prefix } = this.#context;
    for await (const { key, sizeBytes } of store.list(`${prefix}index/`, { signal })) {
      const place = parseIndexKey(key.slice(prefix.length));
      if (place !== undefined) refs.push({ key, sizeBytes, ...place });
    }
    return refs.toSorted(
      (a, b) => a.timeline - b.timeline || Number(a.startLsn - b.startLsn) || Number(b.endLsn - a.endLsn),
    );
  }

  async open(
    ref: WalIndexRef,
    { signal, cache }: Abortable & { readonly cache?: WalIndexCache | undefined } = {},
  ): Promise<OpenedWalIndex | undefined> {
    try {
      return await OpenedIndex.open({ context: this.#context, ref, cache, signal });
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
  }

  async add(content: WalIndexContent, { signal }: Abortable = {}): Promise<WalIndexRef> {
    const [first, last] = [content.segments[0], content.segments.at(-1)];
    if (first === undefined || last === undefined)
      throw new KeyframeError('INVALID_OPTION', 'an index of no segment cannot be stored');
    const place = { timeline: content.timeline, startLsn: first.startLsn, endLsn: last.endLsn };
    const { store, prefix, repositoryId, cluster, epoch, compressor, keyring } = this.#context;
    const key = prefix + indexKey(place);
    const encryption = (await keyring.writing({ signal }))?.data(key);
    const layout = new ContainerLayout('index', {
      repository: repositoryId,
      cluster,
      epoch: epoch.number,
      timeline: place.timeline,
      startLsn: formatLsn(place.startLsn),
      endLsn: formatLsn(place.endLsn),
      encryption: encryption?.header,
    });
    const parts: Buffer[] = [layout.head];
    for (const plain of encodeIndex(content)) {
      const payload = await compressPayload(compressor, plain);
      const number = layout.entries.length;
      const frame = encodeFrame({ number, plainBytes: plain.length, payload, cipher: encryption?.frames });
      layout.add(frame, plain.length);
      parts.push(frame);
    }
    const { table, footer } = layout.end();
    const bytes = Buffer.concat([...parts, table, footer]);
    // Whoever was quicker told the same of the same segments.
    await createOnly(store, key, bytesOf(bytes), signal);
    return { key, sizeBytes: bytes.length, ...place };
  }

  async remove(refs: readonly WalIndexRef[], { signal }: Abortable = {}): Promise<void> {
    const keys = refs.map(({ key }) => key);
    for (let start = 0; start < keys.length; start += BATCH)
      await this.#context.store.delete(keys.slice(start, start + BATCH), { signal });
  }
}
