import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installExample, npm, pack } from './support/packed.ts';
import { Site } from './support/site.ts';

const NAME = 'keyframe-store-sqlite';

describe('a third party’s store, built against packed packages', () => {
  let home: string;
  let example: string;
  let tarballs: readonly string[];
  let packed: string;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'kf-third-'));
    await mkdir(join(home, 'packed'));
    example = join(home, 'example');
    tarballs = await pack(['contracts', 'testkit'], join(home, 'packed'));
    await installExample(NAME, tarballs, example);
    await npm(['run', 'build'], example);
    await npm(['pack', '--ignore-scripts', '--pack-destination', home], example);
    packed = join(home, (await readdir(home)).find((name) => name.startsWith(NAME)) ?? '');
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  test('keeps its contract', async () => {
    expect(await npm(['test'], example)).toMatch(/^(ℹ|#) fail 0$/m);
  });

  test('holds a repository: backup, archiving and recovery', async (context) => {
    await needs(context, 'postgres-18');
    const file = join(home, 'vault.db');
    const slot = `{ use: ${NAME}, name: sqlite, file: ${JSON.stringify(file)} }`;
    await using site = await Site.create(18, { start: false, walSegmentSizeMiB: 1, slots: [slot] });
    // Beside the config file, as its users would.
    const contracts = tarballs.filter((each) => each.includes('contracts'));
    await npm(['install', '--no-save', packed, ...contracts], site.directory);
    await site.report(['repository', 'create']);
    await site.origin.start();
    await site.origin.sql('create table t as select i from generate_series(1, 1000) i');
    await site.backup();
    await site.origin.sql('insert into t select i from generate_series(1001, 2000) i');
    await site.backup(['--type', 'incremental']);
    await site.origin.sql('insert into t select i from generate_series(2001, 3000) i');
    await site.archiveAll();
    const copy = await site.recover(['--latest']);
    expect(await copy.sql('select count(*) from t')).toBe('3000');
    await copy.stop('immediate');
    expect((await site.keyframe(['verify', '--deep'])).status).toBe(0);
    const { verdict } = await site.report<{ verdict: string }>(['check', 'store', 'sqlite']);
    expect(verdict).toBe('good');
    // Another release of Keyframe may have another contract: that is said at once, and what to do.
    const modules = join(site.directory, 'node_modules');
    await cp(join(modules, NAME), join(modules, 'keyframe-store-old'), { recursive: true });
    const main = join(modules, 'keyframe-store-old/dist/index.js');
    await writeFile(main, (await readFile(main, 'utf8')).replace('contract: 1', 'contract: 0'));
    await site.writeConfig({ slots: [slot.replace(NAME, 'keyframe-store-old')] });
    const ended = await site.keyframe(['config', 'validate']);
    expect(ended.status).toBe(2);
    expect(ended.stdout).toContain('was written for contract 0, and this Keyframe has contract 1');
    expect(ended.stdout).toContain(`Install the version of ${NAME}`);
  });
});
