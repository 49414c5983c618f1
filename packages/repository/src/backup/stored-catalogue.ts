import { type Abortable, hasCode, ignoring, KeyframeError } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { suspectPacks } from '../damage/suspect-packs.ts';
import type { EpochContext } from '../epoch-context.ts';
import { tuningWithin } from '../memory-budget.ts';
import { damaged } from '../objects/damage.ts';
import { createOnly } from '../objects/put-once.ts';
import { readSealed } from '../objects/with-copies.ts';
import { Tombstones } from '../retention/tombstones.ts';
import { BackupJob } from './backup-job.ts';
import { chooseUnfinished, EarlierContent } from './earlier-content.ts';
import type { BaseFiles } from './base-files.ts';
import type { BackupCatalogue, BeginOptions, NewIntent, UnfinishedBackup } from './catalogue.ts';
import type { BackupIntent, BackupRecord } from './record.ts';
import { decodeIntent, decodeRecord, encodeIntent } from './record-json.ts';
import { removeUnlessResumable } from './remove.ts';
import { Restore } from './restore.ts';
import type { ReadOptions, ReadReport, RestoreSink } from './restore-sink.ts';
import { StoredBase } from './stored-base.ts';
import { StoredManifest } from './stored-manifest.ts';
import type { BackupWriter } from './writer.ts';

/** Records read at once. */
const READS = 8;
/** Labels tried when others were taken in the same seconds. */
const LABEL_TRIES = 60;

/** What a listing says of one label. */
interface Found {
  objects: number;
  storedBytes: number;
  names: Set<string>;
}

/** The catalogue of one epoch, read from the names and the records in the store. */
export class StoredCatalogue implements BackupCatalogue {
  readonly #context: EpochContext;
  readonly #prefix: string;
  readonly #tombstones: Tombstones;

  constructor(context: EpochContext) {
    this.#context = context;
    this.#tombstones = new Tombstones(context.store, context.cluster);
    this.#prefix = `${context.prefix}backups/`;
  }

  async list(
    options: Abortable & { readonly onDamage?: ((fault: KeyframeError) => void) | undefined } = {},
  ): Promise<BackupRecord[]> {
    const found = await this.#find(options);
    const published = [...found].filter(([, { names }]) => names.has('backup.json')).map(([label]) => label);
    // Read after the listing: what was removed since is hidden, too.
    const isHidden = await this.#tombstones.hidden(this.#context.epoch.number, options);
    const labels = published.filter((label) => !isHidden(label));
    const records = await this.#each(labels, (label) => this.record(label, options).catch(takenBy(options.onDamage)));
    return records
      .filter((record) => record !== undefined)
      .toSorted((one, other) => compare(one.stoppedAt, other.stoppedAt) || compare(one.label, other.label));
  }

  async unfinished(options: Abortable = {}): Promise<UnfinishedBackup[]> {
    const found = [...(await this.#find(options))].filter(
      ([, { names }]) => names.has('intent') && !names.has('backup.json'),
    );
    const read = await this.#each(found, async ([label, { objects, storedBytes }]) => {
      const key = `${this.#prefix}${label}/intent`;
      // An expiry may have removed it since it was listed.
      const bytes = await readSealed(this.#context.store, key, options.signal).catch(ignoring('NOT_FOUND'));
      return bytes === undefined ? undefined : { ...decodeIntent(bytes, key), objects, storedBytes };
    });
    return read.filter((each) => each !== undefined);
  }

  async get(label: string, options: Abortable = {}): Promise<BackupRecord> {
    const record = await this.record(label, options);
    if (!(await this.#tombstones.hidden(this.#context.epoch.number, options))(label)) return record;
    throw new KeyframeError('BACKUP_NOT_FOUND', `the backup ${label} is expired`, {
      hint: `Bring it back with \`keyframe undelete ${label}\` while its grace period lasts, or choose one of \`keyframe list\`.`,
      details: { label },
    });
  }

  /** The record of a published backup, be it expired or not. */
  async record(label: string, { signal }: Abortable = {}): Promise<BackupRecord> {
    const key = `${this.#prefix}${label}/backup.json`;
    try {
      const record = decodeRecord(await readSealed(this.#context.store, key, signal), key);
      this.#assertOurs(record, label, key);
      return record;
    } catch (error) {
      if (!hasCode(error, 'NOT_FOUND')) throw error;
      throw new KeyframeError('BACKUP_NOT_FOUND', `the cluster ${this.#context.cluster} has no backup ${label}`, {
        cause: error,
        hint: 'Choose one of the backups that `keyframe list` prints.',
        details: { label, key },
      });
    }
  }

  /** A record copied here from elsewhere proves itself, but not that it belongs here. */
  #assertOurs(record: BackupRecord, label: string, key: string): void {
    const { cluster, epoch } = this.#context;
    const belongs =
      record.label === label &&
      record.cluster === cluster &&
      record.epoch === epoch.number &&
      record.systemIdentifier === epoch.systemIdentifier;
    if (!belongs)
      throw damaged(
        key,
        `it is the record of backup ${record.label} of cluster ${record.cluster}, epoch ${record.epoch}`,
      );
  }

  async begin(
    intent: NewIntent,
    { signal, base, reuse = true, memoryBytes }: BeginOptions = {},
  ): Promise<BackupWriter> {
    const { now, store } = this.#context;
    const known = this.#known(base, intent);
    // First of all: a host without a key must leave nothing behind.
    const keys = await this.#context.keyring.writing({ signal });
    // A full backup reads nothing of others, and an increment seldom: a host with the index key need not try its passphrase.
    const canRead = async (): Promise<boolean> =>
      intent.type === 'incremental' && (await this.#context.keyring.canRead({ signal }));
    const resumes = reuse ? await this.#resumable(signal) : [];
    const started = now().getTime();
    for (let second = 0; second < LABEL_TRIES; second += 1) {
      const at = new Date(started + second * 1000).toISOString();
      const label = `${at.slice(0, 19).replaceAll(/[-:]/gu, '')}Z-${intent.type}`;
      const startedAt = new Date(started).toISOString();
      const whole: BackupIntent = { ...intent, ...(resumes.length > 0 ? { resumes } : {}), label, startedAt };
      const source = bytesOf(encodeIntent(whole));
      if (!(await createOnly(store, `${this.#prefix}${label}/intent`, source, signal))) continue;
      await this.#assertBases(whole, signal);
      const earlier = reuse ? await EarlierContent.open(this.#context, known, resumes, signal) : undefined;
      const context = { ...this.#context, tuning: tuningWithin(this.#context.tuning, memoryBytes) };
      return new BackupJob(context, whole, earlier, { keys, canRead }, signal);
    }
    throw new KeyframeError('CONFLICT', 'no label is free: other backups were begun in this very minute', {
      hint: 'Check the clock of this host, then run `keyframe backup` again.',
    });
  }

  /** A damaged intent, or damaged tombstones, only mean that more is stored. */
  async #resumable(signal: AbortSignal | undefined): Promise<string[]> {
    try {
      return await chooseUnfinished(this.#context, await this.unfinished({ signal }), signal);
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
      return [];
    }
  }

  /** Asked after the intent is there: an expiry that comes later sees what it names and leaves it alone. */
  async #assertBases({ label, parent, resumes = [] }: BackupIntent, signal: AbortSignal | undefined): Promise<void> {
    const bases = [...(parent === undefined ? [] : [parent]), ...resumes];
    try {
      await this.#tombstones.assertBases(this.#context.epoch.number, bases, { signal });
    } catch (error) {
      await this.#context.store.delete([`${this.#prefix}${label}/intent`]);
      throw error;
    }
  }

  async base(record: BackupRecord, options: Abortable = {}): Promise<BaseFiles> {
    const keys = await this.#context.keyring.writing(options);
    const contentKey = keys?.index.contentKey ?? this.#context.contentKey;
    const manifest = await this.manifest(record, options);
    const suspects = await suspectPacks(this.#context, manifest.packs(), options.signal);
    return new StoredBase(manifest, contentKey, suspects);
  }

  /** The base as we made it; its packs are safe only under an intent that names it. */
  #known(base: BaseFiles | undefined, { parent }: NewIntent): StoredBase | undefined {
    if (base === undefined) return undefined;
    if (base instanceof StoredBase && base.record.label === parent) return base;
    throw new KeyframeError('INTERNAL', `the intent names ${parent ?? 'no backup'}, not its base ${base.record.label}`);
  }

  async discard(label: string, { signal }: Abortable = {}): Promise<'removed' | 'kept'> {
    const prefix = `${this.#prefix}${label}/`;
    if ((await this.#context.store.stat(`${prefix}backup.json`, { signal })) !== undefined)
      throw new KeyframeError('CONFLICT', `the backup ${label} is published`, {
        hint: 'Leave it where it is: `keyframe list` counts on it.',
        details: { label },
      });
    return removeUnlessResumable(this.#context, prefix, signal);
  }

  manifest(record: BackupRecord, options: Abortable = {}): Promise<StoredManifest> {
    return StoredManifest.open(this.#context, record, options);
  }

  async read(record: BackupRecord, sink: RestoreSink, options: ReadOptions = {}): Promise<ReadReport> {
    const manifest = await this.manifest(record, options);
    return new Restore(this.#context, manifest, sink, options).run();
  }

  async #find({ signal }: Abortable): Promise<Map<string, Found>> {
    const found = new Map<string, Found>();
    for await (const { key, sizeBytes } of this.#context.store.list(this.#prefix, { signal })) {
      const [label, name, ...more] = key.slice(this.#prefix.length).split('/');
      if (label === undefined || name === undefined || more.length > 0) continue;
      const backup = found.get(label) ?? { objects: 0, storedBytes: 0, names: new Set() };
      found.set(label, backup);
      backup.objects += 1;
      backup.storedBytes += sizeBytes;
      if (!name.startsWith('pack-')) backup.names.add(name);
    }
    return found;
  }

  /** Few at a time, in order. */
  async #each<In, Out>(items: readonly In[], read: (item: In) => Promise<Out>): Promise<Out[]> {
    const results: Out[] = [];
    for (let start = 0; start < items.length; start += READS)
      results.push(...(await Promise.all(items.slice(start, start + READS).map((item) => read(item)))));
    return results;
  }
}

/** One record that cannot be used must not hide the others. */
function takenBy(onDamage: ((fault: KeyframeError) => void) | undefined): (error: unknown) => undefined {
  return (error) => {
    // An expiry may have removed it since it was listed.
    if (hasCode(error, 'BACKUP_NOT_FOUND')) return;
    if (onDamage === undefined || !hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
    onDamage(error);
  };
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
