import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import type { RestoreFacts } from './support/reports.ts';
import { stopServer } from './support/servers.ts';
import { Site } from './support/site.ts';

/** As Debian has it: nothing of these is in the data directory when the backup is taken. */
const OUTSIDE = ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'];

test('a cluster that keeps its configuration elsewhere is restored and started all the same', async (context) => {
  await needs(context, 'postgres-16');
  await using site = await Site.create(16, { settings: { max_connections: 137 } });
  for (const name of OUTSIDE) await rename(join(site.origin.data, name), join(site.directory, name));
  await site.backup();
  for (const name of OUTSIDE) await rename(join(site.directory, name), join(site.origin.data, name));
  await site.archiveAll();

  const to = site.freshPath();
  const start = ['--start', '--port', String(await freePort()), '--bin-dir', site.origin.bin];
  const restored = await site.report<RestoreFacts>(['restore', '--latest', '--to', to, '--no-sync', ...start]);
  const { server } = restored;
  if (server === undefined) throw new Error('no server was started');
  site.defer(() => stopServer(server.pid));
  expect(server.state).toBe('recovered');
  expect(restored.warnings[0]).toMatch(/^postgresql\.conf and pg_hba\.conf are not part of the backup/);
  expect(await readFile(join(to, 'postgresql.conf'), 'utf8')).toContain('max_connections = 137\n');
  expect(await readFile(join(to, 'pg_hba.conf'), 'utf8')).toMatch(/^local {2}all {2}all {2}peer$/m);
});

test('what would keep a restored server from starting is refused before anything is restored', async (context) => {
  await needs(context, 'postgres-16');
  await using site = await Site.create(16);
  await site.backup();
  const to = site.freshPath();
  const refused = (...words: string[]) => site.fault(['restore', '--latest', '--to', to, ...words]);
  const port = String(site.origin.port);
  expect(await refused('--start', '--port', port, '--bin-dir', site.origin.bin)).toMatchObject({
    code: 'INVALID_OPTION',
    message: `port ${port} is taken on this machine`,
  });
  expect(await refused('--start', '--bin-dir', '/nowhere')).toMatchObject({ code: 'INVALID_OPTION' });
  expect(await refused('--port', port)).toMatchObject({ message: '--port needs --start' });
  await expect(readFile(join(to, 'PG_VERSION'))).rejects.toThrow('ENOENT');
});
