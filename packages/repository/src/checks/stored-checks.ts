import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type Abortable, hasCode, KeyframeError, type ObjectInfo, parseWalFileName } from '@keyframe/contracts';
import type { BackupRecord } from '../backup/record.ts';
import { FOOTER_BYTES } from '../format/container-tail.ts';
import type { EpochContext } from '../epoch-context.ts';
import { openSealedJson } from '../format/sealed-json.ts';
import { packName, walKey } from '../keys.ts';
import { checkObject } from '../objects/check-object.ts';
import { damaged } from '../objects/damage.ts';
import { readSmall } from '../objects/read-range.ts';
import { withCopies } from '../objects/with-copies.ts';
import { chainNumber } from '../signing/places.ts';
import { partOfKey } from '../wal/part-name.ts';
import { partKeyOf } from '../wal/streamed-wal.ts';
import { readHeader } from '../wal/wal-object.ts';
import { assertIndexed, parseIndexKey } from '../wal-index/index-place.ts';
import type { ArchiveChecks, ListedObject, ManifestProof, ObjectKind, ObjectProof } from './checks.ts';
import { checkManifest } from './manifest-check.ts';
import { type Outline, readFooter, readOutline } from './outline.ts';

const CONTAINERS = ['pack', 'manifest', 'wal', 'index'] as const;
type Container = (typeof CONTAINERS)[number];

/** Checks on the objects of one epoch in the store. */
export class StoredChecks implements ArchiveChecks {
  readonly #context: EpochContext;

  constructor(context: EpochContext) {
    this.#context = context;
  }

  keyOf(kind: 'wal' | 'record', name: string): string {
    const { prefix } = this.#context;
    if (kind === 'record') return `${prefix}backups/${name}/backup.json`;
    const file = parseWalFileName(name);
    return prefix + (file === undefined ? (partKeyOf(name) ?? `wal/${name}`) : walKey(file));
  }

  async *list(options: Abortable = {}): AsyncGenerator<ListedObject> {
    const { store, prefix } = this.#context;
    for await (const info of store.list(prefix, { signal: options.signal })) {
      const { key, sizeBytes } = info;
      const place = this.#placeOf(key);
      // Which of several copies is read is left to the mirror, so none is told from the others.
      const stamp = store.copies === undefined ? stampOf(info) : undefined;
      if (place !== undefined) yield { key, sizeBytes, stamp, ...place };
    }
  }

  async root(object: ListedObject, { signal }: Abortable = {}): Promise<ObjectProof> {
    if (!isContainer(object.kind)) return this.#sealed(object, signal);
    const { root, footer } = await present(object, readFooter(this.#context.store, object, signal));
    const { tableOffset, frames, tableSha256 } = footer;
    const table = object.kind === 'pack' ? { tableOffset, frames, tableSha256 } : undefined;
    return { root, readBytes: FOOTER_BYTES, requests: 1, table };
  }

  async outline(object: ListedObject, { signal }: Abortable = {}): Promise<ObjectProof> {
    const { kind, key } = object;
    if (!isContainer(kind)) return this.#sealed(object, signal);
    const outline = await present(object, readOutline(this.#context.store, { ...object, kind }, signal));
    const { root, readBytes, requests, footer } = outline;
    const proof = { root, readBytes, requests };
    if (kind === 'wal') {
      const wal = readHeader(this.#context, outline.head, key);
      if (wal.name !== object.name) throw damaged(key, `it holds ${wal.name}`);
      return { ...proof, wal };
    }
    if (kind === 'index') {
      assertIndexed(this.#context, outline.fields, key);
      return proof;
    }
    this.#assertOurs(object, outline);
    const { tableOffset, frames, tableSha256 } = footer;
    return kind === 'pack' ? { ...proof, table: { tableOffset, frames, tableSha256 } } : proof;
  }

  async content(object: ListedObject, options: Abortable = {}): Promise<ObjectProof> {
    const proof = await this.outline(object, options);
    if (!isContainer(object.kind)) return proof;
    const { store, codecs, keyring } = this.#context;
    const reading = await present(object, checkObject(store, codecs, object.key, options.signal, keyring));
    // Footer and table are read once more there.
    return { ...proof, reading, readBytes: object.sizeBytes + proof.readBytes, requests: proof.requests + 3 };
  }

  async hasWholeCopy({ key }: ListedObject, { signal }: Abortable = {}): Promise<boolean> {
    const { store, codecs, keyring } = this.#context;
    if (store.copies === undefined) return false;
    try {
      await withCopies(store, key, (copy) => checkObject(copy, codecs, key, signal, keyring));
      return true;
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'NOT_FOUND')) throw error;
      return false;
    }
  }

  canDecode(options: Abortable = {}): Promise<boolean> {
    return this.#context.keyring.canRead(options);
  }

  manifest(
    record: BackupRecord,
    options: Abortable & { readonly deep?: boolean | undefined } = {},
  ): Promise<ManifestProof> {
    return checkManifest(this.#context, record, options);
  }

  async #sealed({ key, sizeBytes, ...object }: ListedObject, signal: AbortSignal | undefined): Promise<ObjectProof> {
    const bytes = await present({ key }, readSmall(this.#context.store, key, signal));
    openSealedJson(bytes, key);
    if (bytes.length !== sizeBytes && object.kind !== 'intent') throw damaged(key, 'it has another size than listed');
    return { root: hash('sha256', bytes), readBytes: bytes.length, requests: 1 };
  }

  /** A container copied here from elsewhere proves itself, but not that it belongs here. */
  #assertOurs({ key, kind, name }: ListedObject, { fields }: Outline): void {
    const { repositoryId, cluster, epoch, prefix } = this.#context;
    const said = [fields.text('repository'), fields.text('cluster'), fields.integer('epoch'), fields.text('backup')];
    const isNumbered = kind !== 'pack' || key === `${prefix}backups/${name}/${packName(fields.integer('pack'))}`;
    if (said.join('\n') !== [repositoryId, cluster, epoch.number, name].join('\n') || !isNumbered)
      throw damaged(
        key,
        `it belongs to backup ${said[3]} of cluster ${said[1]}, epoch ${said[2]}, or to another number`,
      );
  }

  #placeOf(key: string): Pick<ListedObject, 'kind' | 'name'> | undefined {
    const rest = key.slice(this.#context.prefix.length);
    const [area, label = '', last = '', ...more] = rest.split('/');
    if (area === 'backups' && more.length === 0) {
      const kind = kindInBackup(last);
      return kind === undefined ? undefined : { kind, name: label };
    }
    if (area === 'chain') {
      const number = chainNumber(this.#context.prefix, key);
      return number === undefined ? undefined : { kind: 'chain', name: String(number) };
    }
    if (area === 'index' && parseIndexKey(rest) !== undefined) return { kind: 'index', name: `${label}/${last}` };
    return area === 'wal' ? walPlaceOf(key, rest) : undefined;
  }
}

function walPlaceOf(key: string, rest: string): Pick<ListedObject, 'kind' | 'name'> | undefined {
  const file = parseWalFileName(key.slice(key.lastIndexOf('/') + 1));
  const name = file?.name ?? partOfKey(key)?.name;
  const place = file === undefined ? partKeyOf(name ?? '') : walKey(file);
  // What lies elsewhere than its name says is not ours.
  return name !== undefined && place === rest ? { kind: 'wal', name } : undefined;
}

/** A small number: there may be a million of them. */
function stampOf({ modifiedAt, version = '', place = '' }: ObjectInfo): number {
  return crc32(`${modifiedAt.getTime()} ${version} ${place}`) >>> 1;
}

function kindInBackup(name: string): ObjectKind | undefined {
  if (/^pack-\d+$/u.test(name)) return 'pack';
  if (name === 'manifest' || name === 'intent') return name;
  return name === 'backup.json' ? 'record' : undefined;
}

function isContainer(kind: ObjectKind): kind is Container {
  return CONTAINERS.some((each) => each === kind);
}

/** An object that was listed and is gone when it is read is a fault of that object, not of the call. */
async function present<Value>({ key }: { readonly key: string }, read: Promise<Value>): Promise<Value> {
  try {
    return await read;
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
    throw new KeyframeError('CORRUPT', `the object ${key} is missing`, {
      cause: error,
      hint: 'Run `keyframe verify` again; something removes objects from the store while Keyframe reads it.',
      details: { key },
    });
  }
}
