import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cluster, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { eventually } from './support/servers.ts';
import { Site, switchWal } from './support/site.ts';

const SEGMENTS = 4;

/** A cluster with one row in every one of several segments after its base backup. */
async function siteWithRows(major: 14 | 15 | 16 | 17 | 18): Promise<Site> {
  const site = await Site.create(major, { walSegmentSizeMiB: 1 });
  await site.origin.sql('create table rows as select 0 as n');
  await site.backup();
  for (let n = 1; n <= SEGMENTS; n += 1) {
    await site.origin.sql(`insert into rows values (${n})`);
    await switchWal(site.origin);
  }
  await site.archiveAll();
  return site;
}

/** Restores everything that is archived: without a target, a missing file would be the end, and the database would open. */
async function restored(site: Site): Promise<Cluster> {
  const { directory } = await site.restore(['--latest']);
  return site.attach(directory);
}

interface Ending {
  readonly isFailure: boolean;
  /** PostgreSQL's own words for why. */
  readonly fatal: string | undefined;
  /** It opened the database on a timeline of its own. */
  readonly hasPromoted: boolean;
}

async function ending(cluster: Cluster): Promise<Ending> {
  const status = await cluster.waitExit();
  const log = await cluster.log();
  return {
    isFailure: status !== 0,
    fatal: /FATAL: {2}could not restore file .* from archive: (.*)/.exec(log)?.[1],
    hasPromoted: /selected new timeline ID|archive recovery complete/.test(log),
  };
}

/** Stopped by restore_command and by nothing else. */
const STOPPED: Ending = { isFailure: true, fatal: 'child process exited with exit code 200', hasPromoted: false };

describe.each(postgresMajors([14, 18]))('recovery by PostgreSQL %i', (major) => {
  test('stops at whatever breaks its archive, and needs only the archive back', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await siteWithRows(major);
    const cluster = await restored(site);

    await cluster.launch();
    await eventually(async () => expect(await cluster.log()).toMatch(/redo starts at/));
    // The repository goes away in the middle, as an unmounted file system does.
    const away = `${site.repository}.away`;
    await rename(site.repository, away);
    await mkdir(site.repository);
    expect(await ending(cluster)).toEqual(STOPPED);
    await rm(site.repository, { recursive: true });
    await rename(away, site.repository);

    // A segment is damaged, then gone, while later ones are there.
    const object = join(site.repository, (await site.objects('clusters/main/1/wal/00000001')).at(-3) ?? '');
    await copyFile(object, `${away}.object`);
    await writeFile(object, flipped(await readFile(object)));
    await cluster.launch();
    expect(await ending(cluster)).toEqual(STOPPED);
    await rm(object);
    await cluster.launch();
    expect(await ending(cluster)).toEqual(STOPPED);
    await copyFile(`${away}.object`, object);

    await cluster.start();
    await cluster.waitPromoted();
    expect(await cluster.sql('select count(*), max(n) from rows')).toBe(`${SEGMENTS + 1}|${SEGMENTS}`);
  });
});

function flipped(bytes: Buffer): Buffer {
  const middle = bytes.length >> 1;
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 0x10, middle);
  return bytes;
}
