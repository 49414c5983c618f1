import { createHash } from 'node:crypto';
import { KeyframeError, type Store } from '@keyframe/contracts';
import { assertSha256, type ContainerKind, decodeHead, decodeStart, START_BYTES } from '../format/container.ts';
import {
  decodeFooter,
  decodeTable,
  FOOTER_BYTES,
  type Footer,
  TABLE_ENTRY_BYTES,
  type TableEntry,
} from '../format/container-tail.ts';
import { openSealedJson } from '../format/sealed-json.ts';
import { openingFor } from '../encryption/object-opening.ts';
import type { Keyring } from '../encryption/keyring.ts';
import { ByteCursor } from './byte-cursor.ts';
import type { Codecs, ExpectedFrame } from './codecs.ts';
import { damaged } from './damage.ts';
import { readRange, readSmall } from './read-range.ts';

const TAIL_PIECE_BYTES = 1 << 20;
/** What a frame table may be long: that of the manifest of a petabyte is shorter. */
const TABLE_LIMIT_BYTES = 64 << 20;

const SEALED = /(?:\.json|\/intent|\/(?:chain|tombstones|holds|damage)\/\d{10}|^leases\/.*|^keys\/.*)$/u;
const PACK = /\/pack-\d+$/u;
const MANIFEST = /\/manifest$/u;
const WAL = /\/wal\//u;
const INDEX = /\/index\/[0-9A-F]{8}\/[0-9A-F]{16}-[0-9A-F]{16}$/u;

/** `hashed`: its frames are encrypted and no key is here, so that hashes alone prove its bytes. */
export type ObjectReading = 'decoded' | 'hashed';

/**
 * Reads one object whole and proves every byte of it, decompressing all frames that can be opened.
 * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT, NOT_FOUND
 */
export async function checkObject(
  store: Store,
  codecs: Codecs,
  key: string,
  signal: AbortSignal | undefined,
  keyring?: Keyring,
): Promise<ObjectReading> {
  if (SEALED.test(key)) {
    openSealedJson(await readSmall(store, key, signal), key);
    return 'decoded';
  }
  const kind = kindOf(key);
  const info = await store.stat(key, { signal });
  if (info === undefined)
    throw new KeyframeError('NOT_FOUND', `the object ${key} does not exist`, { details: { key } });
  const { sizeBytes } = info;
  if (sizeBytes < FOOTER_BYTES) throw damaged(key, 'it is too short');
  const end = await readRange(store, key, sizeBytes - FOOTER_BYTES, sizeBytes, signal);
  const footer = decodeFooter(end, sizeBytes, key);
  const cursor = new ByteCursor(await store.get(key, { signal }), key);
  try {
    return await checkContainer({ store, codecs, cursor, kind, key, footer, signal, keyring });
  } finally {
    await cursor.close();
  }
}

function kindOf(key: string): ContainerKind {
  if (PACK.test(key)) return 'pack';
  if (MANIFEST.test(key)) return 'manifest';
  if (WAL.test(key)) return 'wal';
  if (INDEX.test(key)) return 'index';
  throw new KeyframeError('INVALID_OPTION', `${key} is no object of a repository`, { details: { key } });
}

interface OpenObject {
  readonly store: Store;
  readonly codecs: Codecs;
  readonly cursor: ByteCursor;
  readonly kind: ContainerKind;
  readonly key: string;
  readonly footer: Footer;
  readonly signal: AbortSignal | undefined;
  readonly keyring: Keyring | undefined;
}

async function checkContainer(object: OpenObject): Promise<ObjectReading> {
  const { cursor, kind, key, footer, codecs } = object;
  const start = await cursor.read(START_BYTES);
  const head = Buffer.concat([start, await cursor.read(decodeStart(start, kind, key))]);
  assertSha256(head, footer.headSha256, key, 'header');
  const fields = decodeHead(head, kind, key);
  const opening = await openingFor(fields, kind, key, object.keyring, object.signal);
  const content = createHash('sha256');
  for (const [number, entry] of (await readTable(object, head.length)).entries()) {
    const stored = await cursor.read(entry.storedBytes);
    // Without a key the hash proves that the bytes are the ones that were stored, and no more can be said.
    assertSha256(stored, entry.sha256, key, `frame ${number}`);
    if (opening === undefined) continue;
    const expected: ExpectedFrame = { number, plainBytes: entry.plainBytes, cipher: opening.cipher };
    content.update(await codecs.open(stored, expected, key));
  }
  if (kind === 'wal' && opening !== undefined && opening.identityOf(content.digest('hex')) !== opening.identity)
    throw damaged(key, 'its content fails its hash');
  assertSha256(await cursor.read(footer.frames * TABLE_ENTRY_BYTES), footer.tableSha256, key, 'frame table');
  const tail = createHash('sha256');
  for (let left = footer.tailBytes; left > 0; left -= TAIL_PIECE_BYTES)
    tail.update(await cursor.read(Math.min(left, TAIL_PIECE_BYTES)));
  if (!tail.digest().equals(footer.tailSha256)) throw damaged(key, 'its tail fails its hash');
  decodeFooter(await cursor.rest(FOOTER_BYTES), footer.objectBytes, key);
  return opening === undefined ? 'hashed' : 'decoded';
}

async function readTable({ store, key, footer, signal }: OpenObject, first: number): Promise<TableEntry[]> {
  const { tableOffset, tailOffset } = footer;
  if (tailOffset - tableOffset > TABLE_LIMIT_BYTES) throw damaged(key, 'its frame table is impossibly long');
  const table = await readRange(store, key, tableOffset, tailOffset, signal);
  assertSha256(table, footer.tableSha256, key, 'frame table');
  return decodeTable(table, first, tableOffset, key);
}
