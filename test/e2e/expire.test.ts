import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster, needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import type { BackupFacts } from './support/reports.ts';
import { PATIENCE_MS, Site } from './support/site.ts';

interface Expiry {
  readonly goes: readonly { readonly label: string; readonly kind: string }[];
  readonly wal: readonly { readonly first: string; readonly last: string; readonly segments: number }[];
  readonly recoverable: Readonly<
    Record<'before' | 'after', readonly { readonly backup: string; readonly fromLsn: string }[]>
  >;
  readonly removed: { readonly backups: readonly { readonly label: string }[]; readonly segments: number };
}

const expire = (site: Site, ...args: string[]): Promise<Expiry> => site.report<Expiry>(['expire', ...args]);
const labelsOf = async (site: Site): Promise<string[]> => (await site.list()).backups.map(({ label }) => label);
const told = (cluster: Cluster): Promise<string> => cluster.sql("select string_agg(word, ' ' order by id) from story");

/** A word of the story, archived; gives the moment just after it. */
async function tell(site: Site, word: string): Promise<string> {
  await site.origin.sql(`insert into story (word) values ('${word}')`);
  await sleep(20);
  const moment = await site.origin.sql('select clock_timestamp()');
  await sleep(20);
  await site.archiveAll();
  return moment;
}

/** Four backups, each but the first an increment, and after each a word. */
async function chronicle(site: Site): Promise<{ backups: BackupFacts[]; moments: string[] }> {
  await site.origin.sql('create table story (id serial primary key, word text)');
  // Something that does not change, so that increments share it.
  await site.origin.sql("create table ballast as select i, repeat('x', 200) from generate_series(1, 50000) i");
  const backups: BackupFacts[] = [];
  const moments: string[] = [];
  for (const [index, word] of ['one', 'two', 'three', 'four'].entries()) {
    backups.push(await site.backup(['--type', index === 0 ? 'full' : 'incremental']));
    moments.push(await tell(site, word));
  }
  await tell(site, 'five');
  return { backups, moments };
}

/** The last two backups stay; and this host signs what it publishes, archives and removes. */
async function configure(site: Site): Promise<void> {
  const key = join(site.directory, 'signing.key');
  const { publicKey } = await site.report<{ publicKey: string }>(['signer', 'create', '--to', key]);
  const lines = [
    '    retention: { count: 2, grace: 1s }',
    `    signing: { key: "\${file:${key}}", trusted: ["${publicKey}"] }`,
    `state: ${join(site.directory, 'state')}`,
  ];
  await appendFile(site.config, `${lines.join('\n')}\n`);
}

async function recovered(site: Site, args: readonly string[]): Promise<string> {
  const cluster = await site.recover(args);
  const story = await told(cluster);
  await cluster.stop();
  return story;
}

test(
  'what is expired can be brought back, then goes with its WAL, and every kept moment is recovered',
  async (context) => {
    await needs(context, 'postgres-18');
    await using site = await Site.create(18);
    await configure(site);
    const { backups, moments } = await chronicle(site);
    const [oldest = '', second = '', third = '', newest = ''] = backups.map(({ label }) => label);
    const before = await site.objects();

    const preview = await expire(site, '--dry-run');
    expect(await site.objects()).toEqual(before);
    expect(preview.goes.filter(({ kind }) => kind === 'backup').map(({ label }) => label)).toEqual([oldest, second]);
    expect(preview.recoverable.before.map(({ backup }) => backup)).toEqual([oldest]);
    expect(preview.recoverable.after.map(({ backup }) => backup)).toEqual([third]);

    expect((await expire(site)).removed).toMatchObject({ backups: [], segments: 0 });
    expect(await labelsOf(site)).toEqual([third, newest]);
    expect((await site.objects()).filter((key) => /backups|wal/.test(key))).toEqual(
      before.filter((key) => /backups|wal/.test(key)),
    );
    expect(await site.fault(['plan', '--time', moments[0] ?? ''])).toMatchObject({ code: 'TARGET_BEFORE_BACKUP' });
    expect(await site.report(['list'])).toMatchObject({ expired: [{ label: oldest }, { label: second }] });
    const { hold } = await site.report<{ hold: { id: number } }>(['undelete', oldest]);
    expect(await labelsOf(site)).toEqual([oldest, third, newest]);
    expect(await recovered(site, ['--time', moments[0] ?? ''])).toBe('one');

    await site.report(['hold', 'remove', String(hold.id)]);
    // The restore holds it, too, for a day.
    const runs = [await expire(site)];
    expect(runs[0]?.goes.map(({ label }) => label)).toEqual([second]);
    await rm(join(site.repository, 'leases/main/restore'), { recursive: true });
    runs.push(await expire(site));
    await sleep(1500);
    runs.push(await expire(site));
    const gone = runs.flatMap(({ removed }) => removed.backups.map(({ label }) => label));
    expect(gone.toSorted()).toEqual([oldest, second]);
    expect(runs.reduce((sum, { removed }) => sum + removed.segments, 0)).toBeGreaterThan(0);
    const after = await site.objects();
    for (const { first, last: end } of runs.flatMap(({ wal }) => wal))
      expect(
        after.filter((key) => /wal\/.*[0-9A-F]{24}$/.test(key) && key.slice(-24) >= first && key.slice(-24) <= end),
      ).toEqual([]);
    expect(after.filter((key) => key.includes(`${oldest}/`) && !key.includes('pack-'))).toEqual([]);
    // The kept increments need packs of the backup that is gone.
    expect(after.filter((key) => key.includes(`${oldest}/pack-`)).length).toBeGreaterThan(0);

    // The signed chain names what was removed: nothing of it is taken for a loss.
    expect(await site.keyframe(['verify'])).toMatchObject({ status: 0 });
    // Nor does a rebuilding take it for one.
    expect(await site.report(['repository', 'rebuild'])).toMatchObject({
      backups: [oldest, second].map((label) => ({ label, verdict: 'removed', outcome: 'left-out' })),
    });
    expect(await recovered(site, ['--time', moments[2] ?? ''])).toBe('one two three');
    expect(await recovered(site, ['--time', moments[3] ?? ''])).toBe('one two three four');
    expect(await recovered(site, ['--latest'])).toBe('one two three four five');
    expect(await recovered(site, ['--immediate', '--backup', third])).toBe('one two');
    expect(await site.fault(['plan', '--time', moments[1] ?? ''])).toMatchObject({ code: 'TARGET_BEFORE_BACKUP' });
    expect(await site.fault(['undelete', oldest])).toMatchObject({ code: 'BACKUP_NOT_FOUND' });
  },
  PATIENCE_MS * 2,
);

test('when all manifests and records are lost, the copies in the packs bring every backup back', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  const { backups } = await chronicle(site);
  const before = await site.objects();
  const lost = before.filter((key) => /\/(?:manifest|backup\.json)$/.test(key));
  for (const key of lost) await rm(join(site.repository, key));
  expect(await labelsOf(site)).toEqual([]);
  expect((await site.keyframe(['repository', 'rebuild'])).status).toBe(3);
  expect(await labelsOf(site)).toEqual([]);
  await site.report(['repository', 'rebuild', '--apply']);
  expect((await site.list()).backups).toMatchObject(backups.map(({ label, startLsn }) => ({ label, startLsn })));
  expect((await site.objects()).filter((key) => key.includes('backups/'))).toEqual(
    before.filter((key) => key.includes('backups/')),
  );
  expect(await recovered(site, ['--latest'])).toBe('one two three four five');
});

test('without rules nothing expires', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { start: false });
  expect(await site.fault(['expire', '--dry-run'])).toMatchObject({ code: 'RETENTION_MISSING', status: 2 });
});
