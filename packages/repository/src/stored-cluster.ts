import { type Abortable, hasCode, KeyframeError } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { StoredCatalogue } from './backup/stored-catalogue.ts';
import { StoredChecks } from './checks/stored-checks.ts';
import type { ClusterHistory, Epoch, EpochArchive } from './cluster.ts';
import { KnownDamage } from './damage/known-damage.ts';
import type { EpochContext } from './epoch-context.ts';
import { openSealedJson, sealJson } from './format/sealed-json.ts';
import { archivePrefix, assertClusterName, epochPrefix } from './keys.ts';
import { createOnly } from './objects/put-once.ts';
import { readSealed } from './objects/with-copies.ts';
import type { Retention } from './retention/retention.ts';
import { createRetention } from './retention/stored-retention.ts';
import { objectLocks } from './retention/object-locks.ts';
import { StoredChain } from './signing/stored-chain.ts';
import { StoredWal } from './wal/stored-wal.ts';
import { StoredWalIndex } from './wal-index/stored-wal-index.ts';

/** What an epoch's context has beyond the epoch itself. */
export type ClusterContext = Omit<EpochContext, 'cluster' | 'epoch' | 'prefix'>;

/** The bytes of an epoch's record. */
export function epochJson({ number, systemIdentifier, postgresVersion, createdAt }: Epoch): Buffer {
  return sealJson({ number, systemIdentifier, postgresVersion, createdAt });
}

const EPOCH_FILE = /^[1-9][0-9]*\.json$/u;

/** Epochs as objects that are only ever created, numbered from 1. */
export class StoredCluster implements ClusterHistory {
  readonly name: string;
  readonly #open: (options: Abortable) => Promise<ClusterContext>;

  /** `open` proves that the repository is there and in a format we know. */
  constructor(name: string, open: (options: Abortable) => Promise<ClusterContext>) {
    assertClusterName(name);
    this.name = name;
    this.#open = open;
  }

  async epochs(options: Abortable = {}): Promise<Epoch[]> {
    return this.#list(await this.#open(options), options);
  }

  async create(
    epoch: Omit<Epoch, 'number' | 'createdAt'>,
    options: Abortable & { readonly next?: boolean | undefined } = {},
  ): Promise<EpochArchive> {
    const context = await this.#open(options);
    for (;;) {
      const known = await this.#list(context, options);
      const same = known.findLast(({ systemIdentifier }) => systemIdentifier === epoch.systemIdentifier);
      if (same !== undefined) return this.#archive(context, same);
      const newest = known.at(-1);
      if (newest !== undefined && options.next !== true) throw this.#another(epoch.systemIdentifier, newest);
      const number = (newest?.number ?? 0) + 1;
      const { systemIdentifier, postgresVersion } = epoch;
      const createdAt = context.now().toISOString();
      const content = epochJson({ number, systemIdentifier, postgresVersion, createdAt });
      if (await createOnly(context.store, this.#key(number), bytesOf(content), options.signal))
        return this.#archive(context, { number, systemIdentifier, postgresVersion, createdAt });
    }
  }

  async find(systemIdentifier: string, options: Abortable = {}): Promise<EpochArchive> {
    const context = await this.#open(options);
    const known = await this.#list(context, options);
    const epoch = known.findLast((each) => each.systemIdentifier === systemIdentifier);
    if (epoch !== undefined) return this.#archive(context, epoch);
    const newest = known.at(-1);
    if (newest === undefined)
      throw new KeyframeError('NOT_FOUND', `the repository knows no cluster ${this.name}`, {
        hint: 'Take a first backup with `keyframe backup`, or check `--cluster` and `--repository`.',
        details: { cluster: this.name },
      });
    throw this.#another(systemIdentifier, newest);
  }

  async newest(options: Abortable = {}): Promise<EpochArchive | undefined> {
    const context = await this.#open(options);
    const newest = (await this.#list(context, options)).at(-1);
    return newest === undefined ? undefined : this.#archive(context, newest);
  }

  async at(number: number, options: Abortable = {}): Promise<EpochArchive> {
    const context = await this.#open(options);
    try {
      return this.#archive(context, await this.#read(context, this.#key(number), options));
    } catch (error) {
      if (!hasCode(error, 'NOT_FOUND')) throw error;
      throw new KeyframeError('NOT_FOUND', `the cluster ${this.name} has no epoch ${number}`, {
        cause: error,
        hint: 'Run `keyframe list` to see what the repository holds.',
        details: { cluster: this.name, epoch: number },
      });
    }
  }

  async retention(options: Abortable = {}): Promise<Retention> {
    const common = await this.#open(options);
    return createRetention({ store: common.store, now: common.now, cluster: this.name }, async (each) => {
      const known = await this.#list(common, each);
      return known.map((epoch) => ({ context: this.#context(common, epoch), archive: this.#archive(common, epoch) }));
    });
  }

  /** What an epoch's archive works with, for who copies it. @throws {KeyframeError} NOT_FOUND */
  async contextOf(number: number, options: Abortable = {}): Promise<EpochContext> {
    const { epoch } = await this.at(number, options);
    return this.#context(await this.#open(options), epoch);
  }

  /**
   * Adds an epoch as it stands in another repository.
   * @throws {KeyframeError} CONFLICT when another one has its number
   */
  async bring({ number, systemIdentifier, postgresVersion, createdAt }: Epoch, options: Abortable = {}): Promise<void> {
    const { store } = await this.#open(options);
    const known = (await this.epochs(options)).find((each) => each.number === number);
    const content = sealJson({ number, systemIdentifier, postgresVersion, createdAt });
    if (known === undefined && (await createOnly(store, this.#key(number), bytesOf(content), options.signal))) return;
    const found = known ?? (await this.at(number, options)).epoch;
    if (found.systemIdentifier === systemIdentifier) return;
    throw new KeyframeError(
      'CONFLICT',
      `epoch ${number} of cluster ${this.name} is another database cluster at the target`,
      {
        hint: 'Copy into a repository that holds no other cluster of that name.',
        details: { cluster: this.name, epoch: number, systemIdentifier, found: found.systemIdentifier },
      },
    );
  }

  async damage(options: Abortable = {}): Promise<KnownDamage> {
    return new KnownDamage((await this.#open(options)).store, this.name);
  }

  #another(systemIdentifier: string, newest: Epoch): KeyframeError {
    return new KeyframeError('WRONG_CLUSTER', `the cluster ${this.name} has another system identifier`, {
      hint: 'Check `source.url` and `--cluster`; after pg_upgrade begin the next epoch with `keyframe backup --new-epoch`.',
      details: { cluster: this.name, systemIdentifier, expected: newest.systemIdentifier },
    });
  }

  async #list(context: ClusterContext, options: Abortable): Promise<Epoch[]> {
    const keys: string[] = [];
    const prefix = epochPrefix(this.name);
    // A stray file beside the epochs, such as an editor's copy, must not stop archiving.
    for await (const { key } of context.store.list(prefix, options))
      if (EPOCH_FILE.test(key.slice(prefix.length))) keys.push(key);
    const epochs = await Promise.all(keys.map((key) => this.#read(context, key, options)));
    return epochs.toSorted((one, other) => one.number - other.number);
  }

  async #read(context: ClusterContext, key: string, { signal }: Abortable): Promise<Epoch> {
    const fields = openSealedJson(await readSealed(context.store, key, signal), key);
    return {
      number: fields.integer('number'),
      systemIdentifier: fields.text('systemIdentifier'),
      postgresVersion: fields.integer('postgresVersion'),
      createdAt: fields.text('createdAt'),
    };
  }

  #archive(common: ClusterContext, epoch: Epoch): EpochArchive {
    const context = this.#context(common, epoch);
    const wal = new StoredWal(context);
    const chain = new StoredChain(context, wal);
    const backups = new StoredCatalogue(context);
    return {
      cluster: this.name,
      epoch,
      wal,
      index: new StoredWalIndex(context),
      backups,
      locks: objectLocks(context, backups),
      chain,
      checks: new StoredChecks(context),
    };
  }

  #context(common: ClusterContext, epoch: Epoch): EpochContext {
    return { ...common, cluster: this.name, epoch, prefix: archivePrefix(this.name, epoch.number) };
  }

  #key(number: number): string {
    return `${epochPrefix(this.name)}${number}.json`;
  }
}
