import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { dumpAll } from './support/dump.ts';
import { Site } from './support/site.ts';

describe.each(postgresMajors([14, 18]))('PostgreSQL %i without checksums', (major) => {
  test('marks pages as all-visible under their old LSNs, and a restored copy still answers rightly', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { checksums: false, settings: { autovacuum: false } });
    const { origin } = site;
    await origin.sql('create table seen as select i from generate_series(1, 60000) i; create index on seen (i)');
    await origin.sql('checkpoint');
    const full = await site.backup();
    await origin.sql('vacuum seen; checkpoint');
    expect(await site.backup()).toMatchObject({ type: 'incremental', method: 'stream', parent: full.label });
    await site.archiveAll();
    const cluster = await site.recover(['--immediate']);
    await cluster.sql('delete from seen where i <= 30000');
    const count = 'set enable_seqscan = off; set enable_bitmapscan = off; select count(*) from seen where i <= 40000';
    expect((await cluster.sql(count)).split('\n').at(-1)).toBe('10000');
  });
});

test('a page that was damaged when the base was taken is not taken over when it is right again', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { dataDirectory: true, settings: { autovacuum: false } });
  const { origin } = site;
  await origin.sql('create table big as select i, md5(i::text) as t from generate_series(1, 60000) i');
  await origin.sql('vacuum; checkpoint');
  await origin.sql('checkpoint');
  const dump = await dumpAll(origin);
  const path = join(origin.data, await origin.sql("select pg_relation_filepath('big')"));
  await origin.stop();
  await using file = await open(path, 'r+');
  const place = { position: 3 * 8192 + 4000, length: 6 };
  const before = Buffer.alloc(place.length);
  await file.read(before, 0, place.length, place.position);
  await file.write(Buffer.from('damage'), 0, place.length, place.position);
  await origin.start();
  const spoiled = await site.keyframe(['backup']);
  expect(spoiled.status).toBe(3);
  await file.write(before, 0, place.length, place.position);
  await origin.sql('checkpoint');
  for (const args of [[], ['--from', 'local'], ['--type', 'full']]) {
    const taken = await site.backup(args);
    expect(taken).toMatchObject({ damagedPageCount: 0 });
    const cluster = await site.recover(['--immediate', '--backup', taken.label]);
    expect(await dumpAll(cluster)).toBe(dump);
    await cluster.stop();
  }
});
