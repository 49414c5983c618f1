import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { describeContract, storeCases, testHost } from '@keyframe/testkit';
import { bytesOf, drain } from '@keyframe/contracts/streams';
import plugin from './index.ts';

const home = await mkdtemp(path.join(tmpdir(), 'keyframe-store-sqlite-'));
after(() => rm(home, { recursive: true, force: true }));

let files = 0;
const fresh = (): string => path.join(home, `${(files += 1)}.db`);

describeContract({ describe, it }, 'keyframe-store-sqlite', storeCases, () =>
  plugin.create({ file: fresh() }, testHost()),
);

describe('keyframe-store-sqlite', () => {
  it('lets one of two processes create an object', async () => {
    const file = fresh();
    const [one, other] = [plugin.create({ file }, testHost()), plugin.create({ file }, testHost())];
    const results = await Promise.allSettled(
      [one, other].map((store, index) => store.put('k', bytesOf(Buffer.alloc(3_000_000, index)), { ifAbsent: true })),
    );
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.equal((await drain(await other.get('k'))).length, 3_000_000);
    await Promise.all([one.close?.(), other.close?.()]);
  });

  it('says of a file that is no database that it is damaged', async () => {
    const file = fresh();
    await writeFile(file, 'this is no database, whatever its name says'.repeat(100));
    await assert.rejects(plugin.create({ file }, testHost()).stat('k'), { code: 'CORRUPT' });
  });

  it('refuses options that it does not know', async () => {
    const { issues } = await plugin.options['~standard'].validate({ file: '/x', bucket: 1 });
    assert.equal(issues?.[0]?.message, 'unknown key');
  });
});
