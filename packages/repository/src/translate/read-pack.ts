import { createHash } from 'node:crypto';
import type { Store } from '@keyframe/contracts';
import type { PackUse } from '../backup/manifest.ts';
import { type Outline, readOutline } from '../checks/outline.ts';
import { encryptionOf, type ObjectEncryption } from '../encryption/object-encryption.ts';
import type { EpochContext } from '../epoch-context.ts';
import { SECTION } from '../format/chunk-index.ts';
import { decodeDirectory, type Footer, type TailSection } from '../format/container-tail.ts';
import { decodePackContent, type PackedFrame } from '../format/pack-content.ts';
import { damaged } from '../objects/damage.ts';
import { readRange } from '../objects/read-range.ts';
import { withCopies } from '../objects/with-copies.ts';
import { type Origin, readOrigin } from './origin.ts';

/** The directory of a tail with a dozen sections. */
const DIRECTORY_BYTES = 512;

/** A pack without its frames: all of it is proven. */
export interface ReadPack {
  readonly key: string;
  readonly sizeBytes: number;
  readonly outline: Outline;
  readonly role: string;
  readonly encryption: ObjectEncryption | undefined;
  readonly origin: Origin | undefined;
  /** What each frame holds; empty where the pack does not say. */
  readonly content: readonly PackedFrame[];
}

/** Undefined: there is none. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT, KEY_REQUIRED, KEY_WRONG */
export async function readPack(
  context: EpochContext,
  { key, label, number }: Pick<PackUse, 'key' | 'label' | 'number'>,
  signal: AbortSignal | undefined,
): Promise<ReadPack | undefined> {
  const info = await context.store.stat(key, { signal });
  if (info === undefined) return undefined;
  const { sizeBytes } = info;
  return withCopies(context.store, key, async (store) => {
    const outline = await readOutline(store, { key, sizeBytes, kind: 'pack' }, signal);
    const { fields, footer } = outline;
    const said = [fields.text('repository'), fields.text('cluster'), fields.text('backup'), fields.integer('pack')];
    const expected = [context.repositoryId, context.cluster, label, number];
    if (said.join('\n') !== expected.join('\n'))
      throw damaged(key, `it is pack ${said[3]} of backup ${said[2]} of cluster ${said[1]} of repository ${said[0]}`);
    const encryption = encryptionOf(fields);
    const section = await readSection(store, key, footer, signal);
    const content = section === undefined ? [] : await contentOf(context, { key, encryption, ...section }, footer);
    return { key, sizeBytes, outline, role: fields.text('role'), encryption, origin: readOrigin(fields), content };
  });
}

interface Section {
  readonly section: TailSection;
  readonly bytes: Buffer;
}

/** The section that tells what a pack holds, from a tail that is proven whole: it may hold a manifest, too. */
async function readSection(
  store: Store,
  key: string,
  { tailOffset, tailBytes, tailSha256 }: Footer,
  signal: AbortSignal | undefined,
): Promise<Section | undefined> {
  if (tailBytes === 0) return undefined;
  const end = tailOffset + tailBytes;
  const last = await readRange(store, key, Math.max(tailOffset, end - DIRECTORY_BYTES), end, signal);
  const section = decodeDirectory(last, key).find(({ id }) => id === SECTION.packContent);
  const bytes = Buffer.alloc(section?.sizeBytes ?? 0);
  const sum = createHash('sha256');
  let at = 0;
  for await (const chunk of await store.get(key, { range: { start: tailOffset, end }, signal })) {
    sum.update(chunk);
    if (section !== undefined) {
      const from = Math.max(0, section.offset - at);
      const to = Math.min(chunk.length, section.offset + section.sizeBytes - at);
      if (from < to) bytes.set(chunk.subarray(from, to), at + from - section.offset);
    }
    at += chunk.length;
  }
  if (!sum.digest().equals(tailSha256)) throw damaged(key, 'its tail fails its hash');
  return section && { section, bytes };
}

async function contentOf(
  { keyring }: EpochContext,
  {
    key,
    encryption,
    section,
    bytes,
  }: Section & { readonly key: string; readonly encryption: ObjectEncryption | undefined },
  { frames }: Footer,
): Promise<readonly PackedFrame[]> {
  if (section.sealed !== true) return decodePackContent(bytes, frames, key);
  if (encryption?.salt === undefined) throw damaged(key, 'its header names no salt');
  const index = await keyring.index(encryption.generation);
  return decodePackContent(index.cipher(key, encryption.salt).openSection(section.id, bytes), frames, key);
}
