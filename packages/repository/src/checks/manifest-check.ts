import { type Abortable, hasCode, isKeyframeError, type KeyframeError, type Store } from '@keyframe/contracts';
import type { BackupRecord } from '../backup/record.ts';
import { StoredManifest } from '../backup/stored-manifest.ts';
import type { EpochContext } from '../epoch-context.ts';
import type { TableEntry } from '../format/container-tail.ts';
import type { ExtentRecord, ExtentsChunk } from '../format/extents.ts';
import { damaged } from '../objects/damage.ts';
import type { ManifestFault, ManifestProof } from './checks.ts';
import { readOutline } from './outline.ts';

/** Frame tables that are kept while extents are compared with them: 16 KiB each with packs of 32 MiB. */
const TABLES = 128;

/** Checks both copies of a manifest, each without the help of the other. */
export async function checkManifest(
  context: EpochContext,
  record: BackupRecord,
  { signal, deep = false }: Abortable & { readonly deep?: boolean | undefined },
): Promise<ManifestProof> {
  const { manifest } = record;
  const places = [
    { key: manifest.key, offset: 0 },
    { key: manifest.copy.key, offset: manifest.copy.offset },
  ];
  const faults: ManifestFault[] = [];
  let whole: StoredManifest | undefined;
  for (const place of places)
    try {
      const found = await openCopy(context, record, place, signal);
      whole ??= found;
    } catch (error) {
      faults.push({ key: place.key, error: faultOf(error) });
    }
  if (whole === undefined) return { packs: await packsOf(context, record, signal), faults, isLost: true };
  if (!deep) return { packs: whole.packs(), faults, isLost: false };
  try {
    await assertCovers(context, whole, signal);
    return { packs: whole.packs(), faults, isLost: false };
  } catch (error) {
    faults.push({ key: manifest.key, error: faultOf(error) });
    return { packs: whole.packs(), faults, isLost: true };
  }
}

/** Where neither copy is whole, one may still have what the other has not. */
async function packsOf(
  context: EpochContext,
  record: BackupRecord,
  signal: AbortSignal | undefined,
): Promise<ManifestProof['packs']> {
  try {
    return (await StoredManifest.open(context, record, { signal })).packs();
  } catch (error) {
    faultOf(error);
    return undefined;
  }
}

function faultOf(error: unknown): KeyframeError {
  if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
  // That the copy cannot be used either says nothing here: it was the same place.
  return isKeyframeError(error.cause) && error.cause.code === 'CORRUPT' ? error.cause : error;
}

/** The manifest as it stands in one place; nothing is read from another. */
function openCopy(
  context: EpochContext,
  record: BackupRecord,
  { key, offset }: { readonly key: string; readonly offset: number },
  signal: AbortSignal | undefined,
): Promise<StoredManifest> {
  const { manifest } = record;
  const store = shifted(context.store, manifest.key, key, offset);
  const alone = { ...record, manifest: { ...manifest, copy: { key: manifest.key, offset: 0 } } };
  return StoredManifest.open({ ...context, store }, alone, { signal });
}

/** A store in which the object `as` is the part of the object `key` that begins at `offset`. Only for reading ranges. */
function shifted(store: Store, as: string, key: string, offset: number): Store {
  return {
    capabilities: store.capabilities,
    get: (asked, { range, ...options } = {}) => {
      if (asked !== as || range === undefined) return store.get(asked, { ...options, ...(range && { range }) });
      const end = range.end === undefined ? {} : { end: range.end + offset };
      return store.get(key, { ...options, range: { start: range.start + offset, ...end } });
    },
    put: (...args) => store.put(...args),
    stat: (...args) => store.stat(...args),
    list: (...args) => store.list(...args),
    delete: (...args) => store.delete(...args),
  };
}

/** Every byte of every file comes from exactly one extent, and every frame is what its pack says. */
async function assertCovers(
  context: EpochContext,
  manifest: StoredManifest,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { key } = manifest.record.manifest;
  const sizes: number[] = [];
  for await (const entry of manifest.entries({ signal })) sizes.push(entry.type === 'file' ? entry.sizeBytes : -1);
  const missing = Float64Array.from(sizes, (size) => Math.max(size, 0));
  const take = ({ ordinal, fileOffset, sizeBytes }: ExtentRecord): void => {
    const size = sizes[ordinal] ?? -1;
    if (size < 0 || fileOffset < 0 || fileOffset + sizeBytes > size)
      throw damaged(key, 'an extent lies outside its file');
    const left = (missing[ordinal] ?? 0) - sizeBytes;
    if (left < 0) throw damaged(key, 'two extents hold the same bytes of a file');
    missing[ordinal] = left;
  };
  const tables = new Tables(context, signal);
  for await (const chunk of manifest.extentChunks({ signal })) {
    signal?.throwIfAborted();
    await assertFrames(chunk, manifest, tables);
    for (const { extents } of chunk.frames) extents.forEach(take);
    chunk.zeros.forEach(take);
  }
  const short = missing.findIndex((left) => left > 0);
  if (short >= 0) throw damaged(key, `it does not say where all bytes of its entry ${short} are`);
}

async function assertFrames(chunk: ExtentsChunk, manifest: StoredManifest, tables: Tables): Promise<void> {
  for (const frame of chunk.frames) {
    const pack = manifest.packKey(frame.pack);
    const table = await tables.of(pack);
    // A pack that cannot be read is a fault of that pack, told when it is checked itself.
    const entry = table?.[frame.number];
    if (table === undefined) continue;
    const isSame =
      entry !== undefined &&
      entry.offset === frame.offset &&
      entry.storedBytes === frame.storedBytes &&
      entry.plainBytes === frame.plainBytes &&
      Buffer.compare(entry.sha256, frame.sha256) === 0;
    if (!isSame)
      throw damaged(manifest.record.manifest.key, `the frame ${frame.number} of ${pack} is another one there`);
  }
}

/** Frame tables of packs, the last ones used. */
class Tables {
  readonly #context: EpochContext;
  readonly #signal: AbortSignal | undefined;
  readonly #kept = new Map<string, readonly TableEntry[] | undefined>();

  constructor(context: EpochContext, signal: AbortSignal | undefined) {
    this.#context = context;
    this.#signal = signal;
  }

  async of(key: string): Promise<readonly TableEntry[] | undefined> {
    const kept = this.#kept.get(key);
    if (kept !== undefined || this.#kept.has(key)) return kept;
    const table = await this.#read(key);
    this.#kept.set(key, table);
    const oldest = this.#kept.keys().next().value;
    if (this.#kept.size > TABLES && oldest !== undefined) this.#kept.delete(oldest);
    return table;
  }

  async #read(key: string): Promise<readonly TableEntry[] | undefined> {
    const info = await this.#context.store.stat(key, { signal: this.#signal });
    if (info === undefined) return undefined;
    try {
      const object = { key, sizeBytes: info.sizeBytes, kind: 'pack' as const };
      return (await readOutline(this.#context.store, object, this.#signal)).table;
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
      return undefined;
    }
  }
}
