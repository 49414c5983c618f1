import { createHash, hash } from 'node:crypto';
import { type Abortable, hasCode, type Store } from '@keyframe/contracts';
import { ManifestSource, readManifestIndex } from '../backup/manifest-source.ts';
import { decodeDescription, type DescribedBackup } from '../backup/record-json.ts';
import type { ManifestReference } from '../backup/record.ts';
import type { EpochContext } from '../epoch-context.ts';
import { CHUNK, SECTION } from '../format/chunk-index.ts';
import { decodeDirectory, decodeFooter, FOOTER_BYTES } from '../format/container-tail.ts';
import { decodePacks } from '../format/manifest-tables.ts';
import { packName } from '../keys.ts';
import { damaged } from '../objects/damage.ts';
import { readRange } from '../objects/read-range.ts';
import { withCopies } from '../objects/with-copies.ts';
import type { PackName } from './tombstones.ts';

/** The directory of a tail with a dozen sections. */
const DIRECTORY_BYTES = 512;

/** A range of an object that should be a manifest. */
export interface ManifestPlace {
  readonly key: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** What a manifest says of its backup, read from one place. */
export interface ReadManifest {
  readonly place: ManifestPlace;
  readonly root: string;
  readonly description: DescribedBackup;
  readonly packs: readonly PackName[];
}

/** The copy that lies in the tail of the pack that was written last; `undefined` when no pack has a readable one. */
export async function findCopy(
  { store }: EpochContext,
  prefix: string,
  packs: ReadonlyMap<number, number>,
  { signal }: Abortable,
): Promise<ManifestPlace | undefined> {
  for (const [number, sizeBytes] of [...packs].toSorted(([one], [other]) => other - one)) {
    const key = prefix + packName(number);
    try {
      if (sizeBytes < FOOTER_BYTES) continue;
      const found = await withCopies(store, key, (copy) => copyIn(copy, key, sizeBytes, signal));
      if (found !== undefined) return found;
    } catch (error) {
      if (!hasCode(error, 'CORRUPT')) throw error; // the next pack may be whole
    }
  }
  return undefined;
}

async function copyIn(
  store: Store,
  key: string,
  sizeBytes: number,
  signal: AbortSignal | undefined,
): Promise<ManifestPlace | undefined> {
  const footer = decodeFooter(await readRange(store, key, sizeBytes - FOOTER_BYTES, sizeBytes, signal), sizeBytes, key);
  if (footer.tailBytes === 0) return undefined;
  const end = footer.tailOffset + footer.tailBytes;
  const tail = await readRange(store, key, Math.max(footer.tailOffset, end - DIRECTORY_BYTES), end, signal);
  const section = decodeDirectory(tail, key).find(({ id }) => id === SECTION.manifestCopy);
  return section && { key, offset: footer.tailOffset + section.offset, sizeBytes: section.sizeBytes };
}

/**
 * Reads index, facts and packs of the manifest at a place, proving each from its footer.
 * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT
 */
export function readManifestAt(
  context: EpochContext,
  label: string,
  place: ManifestPlace,
  options: Abortable,
): Promise<ReadManifest> {
  return withCopies(context.store, place.key, (store) => readWhole({ ...context, store }, label, place, options));
}

async function readWhole(
  context: EpochContext,
  label: string,
  place: ManifestPlace,
  { signal }: Abortable,
): Promise<ReadManifest> {
  const root = await rootAt(context, place, { signal });
  const { key, offset, sizeBytes } = place;
  // Both places are the same here: there is no other to fall back to.
  const reference: ManifestReference = { key, sizeBytes, sha256: '', root, copy: { key, offset } };
  const objectKey = `${context.prefix}backups/${label}/manifest`;
  const source = new ManifestSource(context, { ...reference, key: `${key}#` }, objectKey);
  const index = await readManifestIndex(source, { ...reference, key: `${key}#` }, signal);
  const chunks = async (kind: number): Promise<Buffer[]> => {
    const found: Buffer[] = [];
    for (const [number, line] of index.lines.entries()) {
      const entry = index.table[number];
      if (line.kind === kind && entry !== undefined) found.push(await source.chunk(number, entry, signal));
    }
    return found;
  };
  const [facts] = await chunks(CHUNK.facts);
  if (facts === undefined) throw damaged(key, 'its manifest tells no facts');
  const description = decodeDescription(facts, key);
  if (
    description.label !== label ||
    description.cluster !== context.cluster ||
    description.epoch !== context.epoch.number
  )
    throw damaged(key, `its manifest is of backup ${description.label} of cluster ${description.cluster}`);
  const packs = (await chunks(CHUNK.packs)).flatMap((plain) =>
    decodePacks(plain, key).map((line) => ({
      epoch: line.epoch === 0 ? description.epoch : line.epoch,
      label: line.label === '' ? label : line.label,
      number: line.number,
    })),
  );
  return { place, root, description, packs };
}

/** Hash of the footer at the end of a place. @throws {KeyframeError} CORRUPT */
export async function rootAt(
  { store }: Pick<EpochContext, 'store'>,
  { key, offset, sizeBytes }: ManifestPlace,
  { signal }: Abortable,
): Promise<string> {
  if (sizeBytes < FOOTER_BYTES) throw damaged(key, 'its manifest is too short');
  const end = offset + sizeBytes;
  return hash('sha256', await readRange(store, key, end - FOOTER_BYTES, end, signal));
}

/** Hash of all bytes at a place. @throws {KeyframeError} CORRUPT */
export async function sha256At(
  { store }: Pick<EpochContext, 'store'>,
  { key, offset, sizeBytes }: ManifestPlace,
  { signal }: Abortable,
): Promise<string> {
  const sum = createHash('sha256');
  let read = 0;
  for await (const chunk of await store.get(key, { range: { start: offset, end: offset + sizeBytes }, signal })) {
    sum.update(chunk);
    read += chunk.length;
  }
  if (read !== sizeBytes) throw damaged(key, `it ends ${sizeBytes - read} bytes early`);
  return sum.digest('hex');
}
