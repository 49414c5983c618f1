import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { dumpAll } from './support/dump.ts';
import { damaged, flip } from './support/damage.ts';
import { Site } from './support/site.ts';

interface KnownDamage {
  readonly knownDamage: readonly { readonly pack: string; readonly backups: readonly string[] }[];
}

interface Plan {
  readonly backup: { readonly label: string };
  readonly damage: readonly { readonly pack: string }[];
  readonly passedOver: readonly { readonly label: string }[];
}

interface Renewed {
  readonly label: string;
  readonly method: string;
  readonly reusedBytes: number;
  readonly renewedBytes?: number;
}

test.each([
  ['stream', 'is sent changed blocks', 'on'],
  ['local', 'reads files', 'off'],
])(
  'a backup from %s that %s heals what verify found damaged',
  async (from, _, summaries) => {
    await using site = await Site.create(18, {
      dataDirectory: true,
      walSegmentSizeMiB: 1,
      settings: { summarize_wal: summaries },
    });
    await site.origin.sql('create table t as select i, md5(i::text) from generate_series(1, 20000) i');
    const { label: first } = await site.backup();
    const pack = (await site.objects()).find((key) => key.includes(`${first}/pack-`)) ?? '';
    // For good: nothing puts the byte back.
    await damaged(join(site.repository, pack), flip(5000, 3));
    // By its ends nothing is wrong, and the next backup builds on it.
    expect((await site.keyframe(['verify'])).status).toBe(0);
    expect((await site.keyframe(['verify', '--deep'])).status).toBe(4);
    expect((await site.report<KnownDamage>(['list'])).knownDamage).toMatchObject([{ pack, backups: [first] }]);
    expect((await site.keyframe(['verify'])).status).toBe(4);

    await site.origin.sql('insert into t select i from generate_series(20001, 20100) i');
    const ended = await site.keyframe(['backup', '--from', from]);
    expect(ended.stderr).toContain(pack);
    const healed = JSON.parse(ended.stdout) as Renewed;
    expect(healed.method).toBe(from);
    expect(healed.renewedBytes).toBeGreaterThan(0);
    expect(await site.text(['list'])).toContain(`${healed.label} and later ones need no damaged pack`);
    expect((await site.report<KnownDamage>(['show', healed.label])).knownDamage).toEqual([]);
    expect((await site.report<KnownDamage>(['show', first])).knownDamage).toHaveLength(1);

    await rm(join(site.repository, pack));
    await site.archiveAll();
    const before = await dumpAll(site.origin);
    await using recovered = await site.recover(['--latest']);
    expect(await dumpAll(recovered)).toBe(before);
    // The next one has nothing to heal.
    expect((await site.report<Renewed>(['backup', '--from', from])).renewedBytes).toBeUndefined();
  },
  240_000,
);

test('a backup goes on where the manifest of the one before is lost', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { walSegmentSizeMiB: 1 });
  const { label: first } = await site.backup();
  const { label: second } = await site.backup();
  for (const key of (await site.objects()).filter((each) => each.includes(`${second}/`)))
    if (!key.endsWith('.json')) await rm(join(site.repository, key));
  const third = await site.report<{ readonly parent?: string }>(['backup']);
  expect(third.parent).toBe(first);
  await site.recover(['--latest']);
});

test('a recovery begins with an older backup where the newer one is known to be damaged', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { walSegmentSizeMiB: 1 });
  await site.origin.sql('create table t as select 1 as n');
  const { label: first } = await site.backup();
  const { label: second } = await site.backup(['--type', 'full', '--no-reuse']);
  await site.origin.sql('insert into t values (2)');
  await site.archiveAll();
  const pack = (await site.objects()).find((key) => key.includes(`${second}/pack-`)) ?? '';
  await damaged(join(site.repository, pack), flip(5000, 3));
  expect((await site.keyframe(['verify', '--deep'])).status).toBe(4);
  const plan = (args: readonly string[]): Promise<Plan> => site.report(['plan', '--no-effects', ...args]);
  const passedOver = [{ label: second, damage: [{ pack }] }];
  expect(await plan(['--latest'])).toMatchObject({ backup: { label: first }, damage: [], passedOver });
  const told = await site.text(['plan', '--latest', '--no-effects']);
  expect(told).toMatch(new RegExp(`^passed over: ${second}: it needs a pack that is damaged`, 'mu'));
  expect(await plan(['--latest', '--backup', second])).toMatchObject({ damage: [{ pack }], passedOver: [] });
  const recovered = await site.recover(['--latest']);
  expect(await recovered.sql('select count(*) from t')).toBe('2');
  await recovered.stop();
  // Nothing else reaches the target: better this one than none.
  await rm(join(site.repository, 'clusters/main/1/backups', first), { recursive: true });
  expect(await plan(['--latest'])).toMatchObject({ backup: { label: second }, damage: [{ pack }], passedOver: [] });
});
