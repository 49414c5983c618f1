import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keptDemoCommands } from './kept-demo.ts';

let bin = '';
beforeEach(async () => {
  bin = await mkdtemp(join(tmpdir(), 'keyframe bin-'));
});
afterEach(() => rm(bin, { recursive: true }));

const report = {
  configFile: '/tmp/demo/keyframe.yaml',
  restored: { dataDirectory: '/tmp/demo/restored', port: 5433, socketDirectory: '/tmp/demo/run' },
};
const runner = { kind: 'as-we-are', description: '', prefix: [], identity: undefined } as const;
const installation = () => ({ major: 18, version: '18.6', binDirectory: bin, source: 'given' }) as const;

it('names psql beside the server, and words in front of what root may not run', async () => {
  await writeFile(join(bin, 'psql'), '');
  await chmod(join(bin, 'psql'), 0o755);
  const root = { ...runner, kind: 'other-user', identity: { uid: 70, gid: 71 } } as const;
  const kept = { installation: installation(), runner: root, report, environment: {}, launcher: 'keyframe' };
  const setpriv = "setpriv '--reuid=70' '--regid=71' --clear-groups";
  expect(await keptDemoCommands(kept)).toEqual([
    `${setpriv} '${bin}/pg_ctl' -D /tmp/demo/restored -o '-c port=5433' -l /tmp/demo/restored.log start`,
    `'${bin}/psql' -h /tmp/demo/run -p 5433 -U keyframe -d postgres -c 'select count(*) from customers'`,
    'keyframe --config /tmp/demo/keyframe.yaml list',
    `${setpriv} '${bin}/pg_ctl' -D /tmp/demo/restored stop`,
  ]);
});

it('asks the server itself where there is no psql', async () => {
  const kept = { installation: installation(), runner, report, environment: { PATH: bin }, launcher: '/srv/keyframe' };
  expect(await keptDemoCommands(kept)).toEqual([
    `echo 'select count(*) from customers' | '${bin}/postgres' --single -D /tmp/demo/restored postgres`,
    '/srv/keyframe --config /tmp/demo/keyframe.yaml list',
  ]);
});
