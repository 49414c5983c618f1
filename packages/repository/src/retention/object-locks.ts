/** Locks on what backups need, where the store locks objects. @packageDocumentation */
import { type Abortable, hasCode, historyName, type RetentionFacet } from '@keyframe/contracts';
import type { BackupCatalogue } from '../backup/catalogue.ts';
import type { BackupRecord } from '../backup/record.ts';
import type { EpochContext } from '../epoch-context.ts';
import { epochPrefix, IDENTITY_KEY, packName } from '../keys.ts';

/** Requests at once. */
const AT_ONCE = 16;

/** What {@link ObjectLocks.extend} did. */
export interface ExtendedLocks {
  /** Objects that were old enough to be asked about. */
  readonly asked: number;
  readonly extended: number;
}

/** Locks on the objects of one epoch. */
export interface ObjectLocks {
  /**
   * Whatever the backup needs and was written before `writtenBefore` stays locked until `least` at the earliest: locks that
   * end sooner are extended to `until`. Its own WAL is younger than it and has locks of its own. Records of backups get their
   * first lock here: a backup that has to step back while it is published could not otherwise.
   * @throws {KeyframeError} ACCESS_DENIED, UNAVAILABLE
   */
  extend(
    record: BackupRecord,
    how: { readonly writtenBefore: Date; readonly least: Date; readonly until: Date },
    options?: Abortable,
  ): Promise<ExtendedLocks>;
  /** When the last lock ends on what lies under a label, of its packs those; `undefined` when nothing is locked now. */
  until(label: string, packs: readonly number[], options?: Abortable): Promise<Date | undefined>;
}

const historyKey = (timeline: number): string => `wal/${historyName(timeline)}`;

/** @returns `undefined` where the store locks nothing */
export function objectLocks(
  context: Pick<EpochContext, 'store' | 'cluster' | 'prefix' | 'now'>,
  backups: Pick<BackupCatalogue, 'manifest'>,
): ObjectLocks | undefined {
  const { store, cluster, prefix, now } = context;
  const { retention } = store;
  if (retention === undefined) return undefined;
  return {
    async extend(record, { writtenBefore, least, until }, options = {}) {
      const packs = (await backups.manifest(record, options)).packs().map(({ key }) => key);
      const own = `${prefix}backups/${record.label}/`;
      const needed = new Set([...packs, `${own}manifest`]);
      const asked: string[] = [];
      for (const root of [
        IDENTITY_KEY,
        'keys/',
        'signers/',
        epochPrefix(cluster),
        `${prefix}chain/`,
        `${prefix}backups/`,
      ])
        for await (const { key, modifiedAt } of store.list(root, options))
          if (key.endsWith('/backup.json')) asked.push(key);
          else if (modifiedAt < writtenBefore && (root !== `${prefix}backups/` || needed.has(key))) asked.push(key);
      // Few: they are asked for by name, rather than by a list of all WAL.
      for (let timeline = 2; timeline <= record.timeline; timeline += 1)
        if ((await store.stat(prefix + historyKey(timeline), options)) !== undefined)
          asked.push(prefix + historyKey(timeline));
      const extended = await each(asked, async (key) => {
        const locked = await retention.until(key, options);
        if (locked !== undefined && locked >= least) return false;
        await retention.extend(key, until, options);
        return true;
      });
      return { asked: asked.length, extended: extended.filter(Boolean).length };
    },
    async until(label, packs, options = {}) {
      const names = ['backup.json', 'manifest', ...packs.map(packName)];
      const ends = await each(names, (name) => lockOf(retention, `${prefix}backups/${label}/${name}`, options));
      const last = Math.max(...ends.map((end) => end?.getTime() ?? 0));
      return last > now().getTime() ? new Date(last) : undefined;
    },
  };
}

async function lockOf(retention: RetentionFacet, key: string, options: Abortable): Promise<Date | undefined> {
  try {
    return await retention.until(key, options);
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

async function each<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < items.length; start += AT_ONCE)
    results.push(...(await Promise.all(items.slice(start, start + AT_ONCE).map(work))));
  return results;
}
