import { type Abortable, hasCode, type KeyframeError } from '@keyframe/contracts';
import type { ChainEntry } from './chain-entry.ts';
import { SignedWal } from './signed-wal.ts';
import type { ChainAudit, ChainFault, ChainHead, SignatureVerdict } from './signing.ts';

/** A chain as an audit sees it. */
export interface AuditedChain {
  /** Ascending. */
  readonly numbers: readonly number[];
  /** Heads that are known from elsewhere. */
  readonly known: readonly ChainHead[];
  key(number: number): string;
  /** @throws {KeyframeError} CORRUPT, NOT_FOUND */
  read(number: number): Promise<{ readonly entry: ChainEntry } & SignatureVerdict>;
}

const FAULT_OF_TRUST = {
  foreign: { kind: 'foreign', what: 'it is signed by a key that nobody vouches for' },
  wrong: { kind: 'damaged', what: 'its signature does not fit its bytes' },
  unsigned: { kind: 'unsigned', what: 'it carries no signature' },
} as const;

/** Walks a chain from its first entry to its last. Only what a believed key signed counts. */
export async function auditChain(chain: AuditedChain, { signal }: Abortable): Promise<ChainAudit> {
  const walk = new ChainWalk(chain);
  const last = chain.numbers.at(-1) ?? 0;
  const there = new Set(chain.numbers);
  for (let number = 1; number <= last; number += 1) {
    signal?.throwIfAborted();
    if (there.has(number)) await walk.visit(number);
    else walk.missing(number);
  }
  return walk.finish(last);
}

class ChainWalk {
  readonly #chain: AuditedChain;
  readonly #faults: ChainFault[] = [];
  readonly #hashes = new Map<number, string>();
  readonly #backups = new Map<string, string>();
  readonly #expired = new Set<string>();
  readonly #wal = new SignedWal();
  #entries = 0;
  /** Hash of the entry before; `false` when that could not be read. */
  #previous: string | undefined | false;

  constructor(chain: AuditedChain) {
    this.#chain = chain;
  }

  missing(number: number): void {
    this.#fault('missing', number, 'it is missing, and later ones are there');
    this.#previous = false;
  }

  async visit(number: number): Promise<void> {
    const read = await this.#chain.read(number).catch((error: unknown) => this.#unreadable(number, error));
    if (read === undefined) return;
    const { entry, trust } = read;
    this.#entries += 1;
    this.#hashes.set(number, entry.sha256);
    const before = this.#previous;
    this.#previous = entry.sha256;
    if (trust !== 'trusted' && trust !== 'first-use') {
      const { kind, what } = FAULT_OF_TRUST[trust];
      this.#fault(kind, number, what);
      return;
    }
    if (entry.number !== number) {
      this.#fault('moved', number, `it is entry ${entry.number}, put in another's place`);
      this.#previous = false;
      return;
    }
    if (before !== false && entry.previous !== before)
      this.#fault('relinked', number, 'it does not follow the entry before it');
    this.#take(entry);
  }

  finish(last: number): ChainAudit {
    const { known } = this.#chain;
    for (const { number, sha256 } of known) {
      const found = this.#hashes.get(number);
      if (number > last)
        this.#fault(
          'rolled-back',
          number,
          `it was there and is gone, with all that followed; the chain ends at ${last}`,
        );
      else if (found !== undefined && found !== sha256)
        this.#fault('rewritten', number, 'it is another one than was known');
    }
    const sha256 = this.#hashes.get(last);
    return {
      entries: this.#entries,
      head: sha256 === undefined ? undefined : { number: last, sha256 },
      faults: this.#faults,
      known: known.toSorted((one, other) => other.number - one.number)[0],
      backups: this.#backups,
      expired: this.#expired,
      walFiles: this.#wal.size,
      walIdentity: (name) => this.#wal.identity(name),
      walNames: () => this.#wal.names(),
    };
  }

  /** Labels are never given twice, so what was expired once stays so, in whatever order two writers came. */
  #take({ checkpoint, expiry }: ChainEntry): void {
    for (const { label, sha256 } of checkpoint?.backups ?? [])
      if (!this.#expired.has(label) && !this.#backups.has(label)) this.#backups.set(label, sha256);
    if (checkpoint !== undefined) this.#wal.add(checkpoint);
    for (const label of expiry?.backups ?? []) {
      this.#expired.add(label);
      this.#backups.delete(label);
    }
    if (expiry !== undefined) this.#wal.expire(expiry);
  }

  #unreadable(number: number, error: unknown): undefined {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'NOT_FOUND')) throw error;
    this.#fault('damaged', number, textOf(error));
    this.#previous = false;
  }

  #fault(kind: ChainFault['kind'], number: number, what: string): void {
    const key = this.#chain.key(number);
    this.#faults.push({ kind, key, message: `the entry ${number} of the signed chain: ${what}` });
  }
}

function textOf(error: KeyframeError): string {
  return error.message.replace(/^the object \S+ is damaged: /u, '');
}
