import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SELF } from './support/keyframe.ts';
import { stopServer } from './support/servers.ts';
import { Site } from './support/site.ts';

/** Without a target PostgreSQL takes whatever it cannot read for the end of WAL, and pays no heed to recovery_target_action. */
describe('the latest moment', () => {
  let site: Site;
  const stack = new AsyncDisposableStack();

  beforeAll(async () => {
    site = stack.use(await Site.create(18, { walSegmentSizeMiB: 1 }));
    await site.backup();
    await site.origin.sql('create table story as select 1 as chapter');
    for (let chapter = 2; chapter <= 6; chapter += 1) {
      await site.origin.sql(`insert into story values (${chapter})`);
      await site.archiveAll();
    }
  });
  afterAll(() => stack.disposeAsync());

  test('is reached, or the database does not open', async (context) => {
    await needs(context, 'postgres-18');
    const { directory, plan } = await site.restore(['--latest']);
    const conf = join(directory, 'postgresql.auto.conf');
    const command = /^restore_command = '(.*)'$/m.exec(await readFile(conf, 'utf8'))?.[1];
    expect(command).toContain(SELF.restoreWrapper);
    // As if an archive of another make had lost a segment in the middle and called it the end.
    const middle = `${(plan.wal.last ?? '').slice(0, 16)}${hex8(Number.parseInt((plan.wal.last ?? '').slice(16), 16) - 2)}`;
    await appendFile(conf, `restore_command = 'test %f != ${middle} && ${command}'\n`);
    const cluster = await site.attach(directory);
    await cluster.launch();
    await cluster.waitExit();
    expect(await cluster.log()).toContain('recovery ended before configured recovery target was reached');

    await appendFile(conf, `restore_command = '${command}'\n`);
    await cluster.start();
    await cluster.waitPromoted();
    expect(await cluster.sql('select max(chapter) from story')).toBe('6');
  });

  test('is paused at when that is asked for', async () => {
    // The copy has its port.
    await site.origin.stop();
    const { server } = await site.restore(
      ['--latest', '--action', 'pause', '--start', '--bin-dir', site.origin.bin],
      site.freshPath('paused'),
    );
    expect(server?.state).toBe('paused');
    await stopServer(server?.pid ?? -1);
  });
});

const hex8 = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
