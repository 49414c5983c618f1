import { type Abortable, hasCode, KeyframeError, parseWalFileName, segmentNumberOf } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { hash } from 'node:crypto';
import type { BackupRecord } from '../backup/record.ts';
import { decodeRecord, encodeRecord } from '../backup/record-json.ts';
import type { EpochContext } from '../epoch-context.ts';
import { type Json, sealJson } from '../format/sealed-json.ts';
import { createOnly } from '../objects/put-once.ts';
import { readSealed } from '../objects/with-copies.ts';
import type { WalArchive } from '../wal/wal-archive.ts';
import { auditChain } from './audit.ts';
import { type ChainEntry, type ChainPlace, checkpointJson, decodeEntry, expiryJson } from './chain-entry.ts';
import { checkpointsOf } from './checkpoint.ts';
import { chainKey, chainNumber } from './places.ts';
import { SegmentSet } from './segment-sets.ts';
import type { ChainAudit, ChainHead, ExpiredThings, SignatureVerdict, SignedChain, VouchedBackup } from './signing.ts';

/** Writers that try to be next at once; more than ever meet. */
const TRIES = 50;

/** The chain of one epoch, as create-only objects numbered from 1. */
export class StoredChain implements SignedChain {
  readonly #context: EpochContext;
  readonly #wal: WalArchive;
  readonly #place: ChainPlace;
  readonly #name: string;

  constructor(context: EpochContext, wal: WalArchive) {
    const { repositoryId, cluster, epoch } = context;
    this.#context = context;
    this.#wal = wal;
    this.#place = { repository: repositoryId, cluster, epoch: epoch.number };
    this.#name = `${repositoryId}/${cluster}/${epoch.number}`;
  }

  get signs(): boolean {
    return this.#context.signatures.signs;
  }

  get pinned(): boolean {
    return this.#context.signatures.pinned;
  }

  async checkpoint(options: Abortable = {}): Promise<ChainHead | undefined> {
    if (!this.signs) return undefined;
    await this.#provenHead(options); // before the work, so that a broken chain is told at once
    const last = await this.#lastCheckpoint(options);
    const backups = await this.#published(options);
    let head: ChainHead | undefined;
    for await (const content of checkpointsOf(this.#wal, last?.checkpoint, backups, options))
      head = await this.#append('checkpoint', checkpointJson(content), options);
    return head ?? this.head(options);
  }

  async expire({ backups, wal }: ExpiredThings, options: Abortable = {}): Promise<ChainHead | undefined> {
    if (!this.signs) return undefined;
    // What no checkpoint has named needs no word that it is gone.
    const size = (await this.#lastCheckpoint(options))?.checkpoint?.segmentSizeBytes;
    const set = new SegmentSet(size ?? 0);
    const files: string[] = [];
    for (const name of wal) {
      const file = parseWalFileName(name);
      if (file?.kind === 'segment' && size !== undefined) {
        const number = segmentNumberOf(file, size);
        set.add(file.timeline, { first: number, last: number });
      } else if (file?.kind === 'partial') files.push(name);
    }
    return this.#append('expiry', expiryJson({ backups, wal: set.named(), files }), options);
  }

  async head(options: Abortable = {}): Promise<ChainHead | undefined> {
    const number = (await this.#numbers(options)).at(-1);
    if (number === undefined) return undefined;
    const bytes = await readSealed(this.#context.store, chainKey(this.#context.prefix, number), options.signal);
    return { number, sha256: hash('sha256', bytes) };
  }

  async audit(options: Abortable & { readonly known?: ChainHead | undefined } = {}): Promise<ChainAudit> {
    const remembered = await this.#context.signatures.heads?.get(this.#name);
    const known = [options.known, remembered].filter((each) => each !== undefined);
    const numbers = await this.#numbers(options);
    return auditChain(
      {
        key: (number) => chainKey(this.#context.prefix, number),
        numbers,
        read: (number) => this.#read(number, options),
        known,
      },
      options,
    );
  }

  async remember(head: ChainHead): Promise<void> {
    await this.#context.signatures.heads?.set(this.#name, head);
  }

  async signatureOf(label: string, options: Abortable = {}): Promise<SignatureVerdict & { readonly sha256: string }> {
    const { bytes: _, ...verdict } = await this.#signedRecord(label, options);
    return verdict;
  }

  async assertTrusted(record: BackupRecord, options: Abortable = {}): Promise<void> {
    if (!this.pinned) return;
    const { label } = record;
    const { trust, keyId, sha256, bytes } = await this.#signedRecord(label, options);
    // What was decided on the record must be decided on the bytes that are signed.
    const key = this.#recordKey(label);
    if (!encodeRecord(decodeRecord(bytes, key)).equals(encodeRecord(record)))
      throw new KeyframeError('SIGNATURE_INVALID', `the record of backup ${label} changed while it was used`, {
        hint: 'Run `keyframe verify`; somebody writes to the store.',
        details: { label },
      });
    if (trust === 'trusted') return;
    const last = await this.#lastCheckpoint(options);
    // A backup of the time before this repository was signed is vouched for by the first checkpoint.
    const vouched = last?.checkpoint?.backups.some((each) => each.label === label && each.sha256 === sha256);
    if (trust === 'unsigned' && vouched === true) return;
    const { heads, signs } = this.#context.signatures;
    if (trust === 'unsigned' && last === undefined && (await heads?.get(this.#name)) === undefined)
      throw nothingSigned(label, signs);
    throw new KeyframeError('SIGNATURE_INVALID', `the backup ${label} is not signed by a trusted key: ${WHY[trust]}`, {
      hint: 'Run `keyframe verify`; if the signer is yours, name its public key under `repositories.<name>.signing.trusted`.',
      details: { label, trust, keyId },
    });
  }

  async #append(kind: string, content: Json, options: Abortable): Promise<ChainHead> {
    const { store, prefix, now, signatures } = this.#context;
    for (let tries = 0; tries < TRIES; tries += 1) {
      const head = await this.#provenHead(options);
      const number = (head?.number ?? 0) + 1;
      const key = chainKey(prefix, number);
      const seal = await signatures.sealer(key, options);
      const createdAt = now().toISOString();
      const bytes = sealJson({ ...this.#place, number, previous: head?.sha256, createdAt, kind, content }, seal);
      if (!(await createOnly(store, key, bytesOf(bytes), options.signal))) continue;
      const written = { number, sha256: hash('sha256', bytes) };
      await this.remember(written);
      return written;
    }
    throw new KeyframeError('CONFLICT', 'other writers took every next place in the signed chain', {
      hint: 'Check that no second Keyframe writes to this repository, then run `keyframe backup` again.',
    });
  }

  /** The head, when it follows what this host knew. To sign on top of an older copy would make it the truth. */
  async #provenHead(options: Abortable): Promise<ChainHead | undefined> {
    const numbers = await this.#numbers(options);
    const newest = numbers.at(-1);
    const known = await this.#context.signatures.heads?.get(this.#name);
    if (known !== undefined) {
      if (newest === undefined || newest < known.number)
        throw broken(`this host knew its entry ${known.number}, and the repository ends with ${newest ?? 'none'}`);
      const there = await this.#readEntry(known.number, options);
      if (there?.entry.sha256 !== known.sha256)
        throw broken(`its entry ${known.number} is not the one that this host knew`);
    }
    if (newest === undefined) return undefined;
    const read = await this.#readEntry(newest, options);
    if (read === undefined || read.entry.number !== newest) throw broken(`its entry ${newest} is not of that number`);
    if (read.trust !== 'trusted') throw broken(`its entry ${newest} is not signed by a trusted key`);
    return { number: newest, sha256: read.entry.sha256 };
  }

  async #lastCheckpoint(options: Abortable): Promise<ChainEntry | undefined> {
    for (const number of (await this.#numbers(options)).toReversed()) {
      const read = await this.#readEntry(number, options);
      if (read?.entry.checkpoint !== undefined && read.trust === 'trusted') return read.entry;
    }
    return undefined;
  }

  async #readEntry(
    number: number,
    options: Abortable,
  ): Promise<({ readonly entry: ChainEntry } & SignatureVerdict) | undefined> {
    const read = await this.#read(number, options).catch((error: unknown) => {
      if (hasCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    });
    return read;
  }

  async #read(number: number, options: Abortable): Promise<{ readonly entry: ChainEntry } & SignatureVerdict> {
    const key = chainKey(this.#context.prefix, number);
    const bytes = await readSealed(this.#context.store, key, options.signal);
    const entry = decodeEntry(bytes, key, this.#place);
    return { entry, ...(await this.#context.signatures.verdict(bytes, key, options)) };
  }

  async #numbers({ signal }: Abortable): Promise<number[]> {
    const { store, prefix } = this.#context;
    const numbers: number[] = [];
    for await (const { key } of store.list(`${prefix}chain/`, { signal })) {
      const number = chainNumber(prefix, key);
      if (number !== undefined) numbers.push(number);
    }
    return numbers.toSorted((one, other) => one - other);
  }

  /** Every published backup with the hash of its record. What is damaged is not vouched for. */
  async #published(options: Abortable): Promise<VouchedBackup[]> {
    const { store, prefix } = this.#context;
    const labels: string[] = [];
    for await (const { key } of store.list(`${prefix}backups/`, { signal: options.signal })) {
      const label = /^([^/]+)\/backup\.json$/u.exec(key.slice(`${prefix}backups/`.length))?.[1];
      if (label !== undefined) labels.push(label);
    }
    const backups: VouchedBackup[] = [];
    for (const label of labels.toSorted()) {
      const verdict = await this.signatureOf(label, options).catch((error: unknown) => {
        if (hasCode(error, 'CORRUPT', 'NOT_FOUND')) return undefined;
        throw error;
      });
      // One that carries another's signature is not made ours by ours.
      if (verdict !== undefined && verdict.trust !== 'foreign' && verdict.trust !== 'wrong')
        backups.push({ label, sha256: verdict.sha256 });
    }
    return backups;
  }

  async #signedRecord(
    label: string,
    options: Abortable,
  ): Promise<SignatureVerdict & { readonly sha256: string; readonly bytes: Buffer }> {
    const key = this.#recordKey(label);
    const bytes = await readSealed(this.#context.store, key, options.signal);
    const verdict = await this.#context.signatures.verdict(bytes, key, options);
    return { ...verdict, sha256: hash('sha256', bytes), bytes };
  }

  #recordKey(label: string): string {
    return `${this.#context.prefix}backups/${label}/backup.json`;
  }
}

const WHY = {
  trusted: 'it is',
  'first-use': 'its key is not pinned',
  foreign: 'its signature is by a key that nobody vouches for',
  wrong: 'its signature does not fit its bytes',
  unsigned: 'it carries no signature',
} as const;

function broken(why: string): KeyframeError {
  return new KeyframeError('CHAIN_BROKEN', `the signed chain was not continued: ${why}`, {
    hint: 'Run `keyframe verify`: the repository may be an older copy, or somebody wrote to it who should not.',
  });
}

/** Signing was configured and no backup was taken since: there is nothing to find for `keyframe verify`. */
function nothingSigned(label: string, signs: boolean): KeyframeError {
  const where = signs ? '' : ' on the host that has `signing.key`';
  return new KeyframeError('SIGNATURE_INVALID', `the backup ${label} is not signed: nothing is signed here yet`, {
    hint: `Run \`keyframe backup\`${where}, which signs itself and every backup before it; until then remove \`signing\` from the config file to use what is not signed.`,
    details: { label, trust: 'unsigned' },
  });
}
