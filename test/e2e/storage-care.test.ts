import { type ObjectInfo, type Store } from '@keyframe/contracts';
import { testHost } from '@keyframe/testkit';
import { needs } from '@keyframe/testkit/postgres';
import { createBucket, startMinistack } from '@keyframe/testkit/servers';
import plugin from '@keyframe/store-s3';
import { expect, test } from 'vitest';
import { Site } from './support/site.ts';

const BUCKET = 'vault';

interface LifecycleReport {
  readonly stores: readonly {
    readonly missing: readonly { readonly id: string }[];
    readonly foreign: readonly string[];
    readonly moves: { readonly objects: number };
  }[];
}

interface CostLine {
  readonly kind: string;
  readonly storageClass: string;
  readonly objects: number;
  readonly monthly: number;
}

async function open(options: Readonly<Record<string, unknown>>): Promise<Store> {
  const read = await plugin.options['~standard'].validate(options);
  if (read.issues !== undefined) throw new Error(JSON.stringify(read.issues));
  return plugin.create(read.value, testHost());
}

const packs = async (store: Store, label: string): Promise<ObjectInfo[]> =>
  (await Array.fromAsync(store.list(`clusters/main/1/backups/${label}/`))).filter(({ key }) => /pack-\d+$/.test(key));

test('emulated: what only old backups need is marked for the archive, priced, and thawed for a restore', async (context) => {
  await needs(context, 'ministack');
  await needs(context, 'postgres-18');
  await using server = await startMinistack();
  await createBucket(server, BUCKET);
  const { accessKeyId, secretAccessKey } = server.credentials;
  const options = { bucket: BUCKET, endpoint: server.endpoint, region: server.region, accessKeyId, secretAccessKey };
  const slot = {
    use: 's3',
    ...options,
    archive: { after: '1s', class: 'GLACIER' },
    classes: { manifests: 'STANDARD_IA' },
  };
  await using site = await Site.create(18, { slots: [JSON.stringify(slot)] });
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await open(options), async (each) => each.close?.());
  const old = await site.backup();
  const young = await site.backup(['--type', 'full', '--no-reuse']);

  // The old backup's packs are needed by nobody else.
  const planned: LifecycleReport = JSON.parse((await site.keyframe(['lifecycle', 'plan'])).stdout);
  const ofOld = await packs(store, old.label);
  expect(planned.stores[0]?.missing.map(({ id }) => id)).toEqual(['keyframe-abort-uploads', 'keyframe-archive']);
  expect(planned.stores[0]?.moves.objects).toBe(ofOld.length);
  await site.report(['lifecycle', 'apply']);
  const tags = await Promise.all(ofOld.map(async ({ key }) => store.tags?.of(key)));
  expect(tags).toEqual(ofOld.map(() => ({ 'keyframe-tier': 'archive' })));
  for (const { key } of await packs(store, young.label)) expect(await store.tags?.of(key)).toEqual({});
  const again: LifecycleReport = await site.report(['lifecycle', 'plan']);
  expect(again.stores[0]).toMatchObject({ missing: [], moves: { objects: 0 } });

  // No emulation carries the rules out: the objects are moved as the rule would.
  for (const { key } of ofOld) await store.tiers?.move(key, 'GLACIER');
  const { lines } = await site.report<{ lines: CostLine[] }>(['cost']);
  expect(lines.find(({ kind, storageClass }) => kind === 'pack' && storageClass === 'GLACIER')?.objects).toBe(
    ofOld.length,
  );
  expect(lines.find(({ kind }) => kind === 'manifest')?.storageClass).toBe('STANDARD_IA');

  expect(await site.text(['plan', '--immediate', '--backup', old.label])).toContain('must be thawed first');
  const fault = await site.fault(['restore', '--immediate', '--backup', old.label, '--to', site.freshPath()]);
  expect(fault).toMatchObject({ code: 'ARCHIVED', hint: expect.stringContaining('--thaw') as string });
  await site.restore(['--immediate', '--backup', young.label]);
  await site.restore(['--immediate', '--backup', old.label, '--thaw', 'standard']);
});

test('rights, forecasts and rules of a store that has none of them are told plainly', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  await site.backup();
  expect((await site.report<LifecycleReport>(['lifecycle', 'plan'])).stores[0]?.missing).toEqual([]);
  expect(await site.fault(['setup', '--store', 'store1'])).toMatchObject({ code: 'UNSUPPORTED' });
  expect(await site.fault(['setup', '--store', 'nowhere'])).toMatchObject({ code: 'INVALID_OPTION' });
  expect(await site.fault(['replication', 'apply'])).toMatchObject({ code: 'UNSUPPORTED' });
  const text = await site.text(['cost']);
  expect(text).toContain('no price is known for these stores');
  const table = JSON.parse(await site.text(['cost', '--print-prices'])) as { providers: Record<string, unknown> };
  expect(Object.keys(table.providers)).toEqual(['aws', 'gcp', 'azure', '*']);
});
