import { randomBytes } from 'node:crypto';
import type { ObjectVersion, Store } from '@keyframe/contracts';
import { createBucket, startVersitygw } from '@keyframe/testkit/servers';
import { testHost } from '@keyframe/testkit';
import { needs } from '@keyframe/testkit/postgres';
import { textOf } from '@keyframe/contracts/streams';
import plugin from '@keyframe/store-s3';
import { expect, test } from 'vitest';
import { Site } from './support/site.ts';

const BUCKET = 'vault';

/** What whoever has stolen the writer's credentials would open. */
async function attacker(options: Readonly<Record<string, unknown>>): Promise<Store> {
  const read = await plugin.options['~standard'].validate(options);
  if (read.issues !== undefined) throw new Error(JSON.stringify(read.issues));
  return plugin.create(read.value, testHost());
}

const versionsOf = (store: Store): Promise<ObjectVersion[]> =>
  Array.fromAsync(store.versions?.list('', {}) ?? [], (version) => version);

/** Everything that can be done to a bucket: hide, replace, remove for good. Gives how many versions could be removed. */
async function destroy(store: Store): Promise<number> {
  const before = await versionsOf(store);
  const keys = [...new Set(before.map(({ key }) => key))];
  for (const key of keys) await store.delete([key]).catch(() => undefined);
  for (const key of keys) await store.put(key, textOf(randomBytes(64).toString('hex'))).catch(() => undefined);
  for (const key of keys.slice(0, 5))
    await store.retention?.extend(key, new Date(Date.now() + 1000)).catch(() => undefined);
  let removed = 0;
  for (const { key, version } of before)
    await store.versions?.delete([{ key, version }]).then(
      () => (removed += 1),
      () => undefined,
    );
  for (const key of keys.filter((_, at) => at % 2 === 0)) await store.delete([key]).catch(() => undefined);
  return removed;
}

test('a repository whose bucket was wiped and overwritten with the writer’s own rights still restores', async (context) => {
  await needs(context, 'versitygw');
  await needs(context, 'postgres-18');
  await using server = await startVersitygw();
  await createBucket(server, BUCKET, { locked: true });
  const credentials = {
    accessKeyId: server.credentials.accessKeyId,
    secretAccessKey: server.credentials.secretAccessKey,
  };
  const options = { bucket: BUCKET, endpoint: server.endpoint, region: server.region, ...credentials };
  const slot = JSON.stringify({ use: 's3', ...options });
  await using site = await Site.create(18, { slots: [slot], repositoryLines: ['immutable: 1h'] });
  await site.origin.sql('create table customers as select generate_series(1, 1000) as id');
  await site.backup();
  await site.origin.sql('delete from customers where id > 900');
  await site.backup(['--type', 'incremental']);
  await site.origin.sql('insert into customers select generate_series(2001, 2100)');
  await site.archiveAll();
  // The tests' servers run without fsync, which it tells.
  const doctor: { findings: { id: string; status: string }[] } = JSON.parse((await site.keyframe(['doctor'])).stdout);
  expect(doctor.findings.find(({ id }) => id === 'locks s3')?.status).toBe('ok');
  const before = await site.list();

  const store = await attacker(options);
  const removed = await destroy(store);
  // Leases, intents, marks and records of moments: nothing that a recovery needs.
  expect(removed).toBeLessThan((await versionsOf(store)).length);
  await store.close?.();

  const after = await site.list();
  expect(after.backups.map(({ label }) => label)).toEqual(before.backups.map(({ label }) => label));
  const recovered = await site.recover(['--latest']);
  expect(await recovered.sql('select count(*), max(id) from customers')).toBe('1000|2100');
});
