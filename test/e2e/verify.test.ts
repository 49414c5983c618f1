import { appendFile, copyFile, cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesOf } from '@keyframe/contracts/streams';
import { needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { damaged, flip } from './support/damage.ts';
import { archiveIn } from './support/repository.ts';
import { kept, moved, regionsOf } from './support/objects.ts';
import type { AdoptFacts, BackupFacts } from './support/reports.ts';
import { Site } from './support/site.ts';

interface VerifyFacts {
  readonly findings: readonly {
    readonly kind: string;
    readonly object: string;
    readonly what: string;
    readonly backups: readonly string[];
    readonly moments: readonly string[];
    readonly lastCommitBefore?: string;
    readonly hint: string;
  }[];
  readonly remarks: readonly { readonly message: string }[];
  readonly backups: number;
  readonly epochs: readonly { readonly chain: { readonly head?: string; readonly rollbackExcluded: boolean } }[];
  readonly cost: Record<'objects' | 'readBytes' | 'requests', number>;
  readonly spent: { readonly readBytes: number };
  readonly coverage: Record<'checked' | 'remembered' | 'leftOut', number>;
  readonly seed?: number;
}

const SEGMENT = 1 << 20;

/** A site with a signed repository: a backup on each of two timelines, and WAL on both beyond the fork. */
describe('verify', () => {
  const stack = new AsyncDisposableStack();
  let site: Site;
  let first: BackupFacts;
  let second: BackupFacts;
  let lastOfOld: string;
  let lastOfNew: string;
  let publicKey: string;

  const at = (key: string): string => join(site.repository, key);
  const wal = (name: string): string => `clusters/main/1/wal/${name.slice(0, 8)}/${name.slice(8, 16)}/${name}`;
  const ofBackup = (label: string, name: string): string => `clusters/main/1/backups/${label}/${name}`;

  /** Runs `keyframe verify`, on a host that remembers nothing unless its state is named. */
  const verify = async (
    args: readonly string[] = [],
    state: string = site.freshPath('state'),
    command: readonly string[] = ['verify'],
  ): Promise<VerifyFacts & { readonly status: number }> => {
    const config = await configWith(state);
    const { status, stdout, stderr } = await site.keyframe([...command, ...args], { config });
    if (status !== 0 && status !== 4) throw new Error(`verify ended with ${status}: ${stdout}${stderr}`);
    return { ...(JSON.parse(stdout) as VerifyFacts), status };
  };

  const configWith = async (state: string): Promise<string> => {
    const config = site.freshPath('verify.yaml');
    await site.writeConfig({}, undefined, config);
    await appendFile(config, `    signing: { trusted: [${JSON.stringify(publicKey)}] }\nstate: ${state}\n`);
    return config;
  };

  /** What the default level and the deep one say of the repository as it is now. */
  const findingsOf = async (): Promise<{ readonly outline: VerifyFacts; readonly content: VerifyFacts }> => {
    const [outline, content] = await Promise.all([verify(), verify(['--deep'])]);
    return { outline, content };
  };

  beforeAll(async () => {
    // The archive must not grow while it is verified.
    site = stack.use(await Site.create(18, { walSegmentSizeMiB: 1, settings: { autovacuum: 'off' } }));
    const key = join(site.directory, 'signing.key');
    publicKey = (await site.report<{ publicKey: string }>(['signer', 'create', '--to', key])).publicKey;
    const signing = `    signing: { key: "\${file:${key}}" }\nstate: ${join(site.directory, 'writer')}\n`;
    await appendFile(site.config, signing);
    await site.origin.sql('create table t as select i, md5(i::text) from generate_series(1, 20000) i');
    first = await site.backup();
    await site.origin.sql('insert into t select i, md5(i::text) from generate_series(1, 60000) i');
    await site.archiveAll();
    const copy = await site.recover(['--latest']);
    const config = join(site.directory, 'copy.yaml');
    await site.writeConfig({}, copy.url, config);
    await appendFile(config, signing);
    await site.report<AdoptFacts>(['adopt', '--data-directory', copy.data], { config });
    await copy.restart();
    await copy.sql('insert into t select i, md5(i::text) from generate_series(1, 30000) i');
    second = await site.report(['backup'], { config });
    await copy.sql('insert into t select i, md5(i::text) from generate_series(1, 30000) i');
    lastOfNew = await site.archiveAll(copy);
    await site.origin.sql('create table on_the_dead_branch as select generate_series(1, 100)');
    lastOfOld = await site.archiveAll();
  });
  afterAll(() => stack.disposeAsync());

  test('finds nothing in a whole repository, tells the cost before, and remembers what it read', async (context) => {
    await needs(context, 'postgres-18');
    const state = site.freshPath('state');
    const planned = await verify(['--deep', '--dry-run'], state);
    const run = await verify(['--deep'], state);
    expect({ status: run.status, findings: run.findings, backups: run.backups }).toEqual({
      status: 0,
      findings: [],
      backups: 2,
    });
    expect(planned.coverage).toEqual({ checked: 0, remembered: 0, leftOut: 0, hashed: 0 });
    expect(planned.cost).toEqual(run.cost);
    expect(Math.abs(run.spent.readBytes / run.cost.readBytes - 1)).toBeLessThan(0.3);
    const again = await verify(['--deep'], state);
    expect({ status: again.status, ...again.coverage }).toMatchObject({
      status: 0,
      checked: 0,
      remembered: run.coverage.checked,
      leftOut: 0,
    });
    expect(again.spent.readBytes).toBeLessThan(run.spent.readBytes / 20);
    const anew = await verify(['--deep', '--since', '0s'], state);
    expect(anew.coverage).toEqual(run.coverage);
  });

  test('finds each kind of damage of a pack, a manifest and a WAL segment at the level that reads it', async () => {
    const segment = wal(first.label === '' ? '' : await segmentAfter(first));
    const pack = ofBackup(first.label, 'pack-00001');
    const manifest = ofBackup(first.label, 'manifest');
    for (const object of [pack, manifest, segment])
      for (const [region, place] of Object.entries(await regionsOf(at(object)))) {
        if (object === pack) await verify(); // known to be damaged, it would be read whole until it is found right
        await using _ = await damaged(at(object), flip(place, 3));
        const isRead = region !== 'frame';
        const levels = [
          { args: [], told: isRead ? [object] : [] },
          // What header, table and end show, the deep level reads in the same way.
          ...(isRead ? [] : [{ args: ['--deep'], told: [object] }]),
        ];
        for (const { args, told } of levels) {
          const { findings } = await verify(args);
          expect({ object, region, args, told: findings.map((each) => each.object) }).toEqual({
            object,
            region,
            args,
            told,
          });
        }
      }
  });

  test('finds a damaged record, which is then no backup any more', async () => {
    const record = ofBackup(first.label, 'backup.json');
    await using _ = await damaged(at(record), flip(200, 1));
    const { status, findings } = await verify();
    expect({ status, findings }).toMatchObject({
      status: 4,
      findings: [{ kind: 'damaged', object: record, backups: [first.label] }],
    });
  });

  test('names the backups and the moments that a missing object takes along', async () => {
    const pack = ofBackup(second.label, 'pack-00001');
    await using _ = await moved(at(pack));
    const { status, findings } = await verify();
    expect({ status, findings }).toMatchObject({
      status: 4,
      findings: [{ kind: 'missing', object: pack, backups: [second.label] }],
    });
  });

  test('finds a gap in the WAL, what it cuts off, and what it does not', async () => {
    const name = await segmentAfter(first);
    await using _ = await moved(at(wal(name)));
    const { findings } = await verify([], undefined, ['wal', 'verify']);
    const found = findings.filter(({ object }) => object === wal(name));
    expect(found).toMatchObject([{ kind: 'missing', backups: [] }]);
    // On the new timeline its own backup is a new beginning.
    const onNew = new RegExp(`timeline 2 from .* to .*, where backup ${second.label} ends`);
    for (const moment of [/timeline 1 from 0\/[0-9A-F]+ on/, onNew])
      expect(found[0]?.moments.join('\n')).toMatch(moment);
    expect(found[0]?.lastCommitBefore).toMatch(/^[-\d]{10} [:\d]{8}\.\d{6}\+00$/);
  });

  test('finds that the WAL of its own making is missing for a backup', async () => {
    const name = second.stopLsn.startsWith('0/') ? await segmentOf(second.timeline, second.stopLsn) : '';
    await using _ = await moved(at(wal(name)));
    const { findings } = await verify();
    expect(findings.find(({ object }) => object === wal(name))?.backups).toEqual([second.label]);
  });

  test('finds a missing history file and what hangs on it', async () => {
    await using _ = await moved(at('clusters/main/1/wal/00000002.history'));
    const { findings } = await verify();
    expect(findings).toContainEqual(
      expect.objectContaining({
        kind: 'missing',
        object: 'clusters/main/1/wal/00000002.history',
        backups: [second.label],
      }),
    );
  });

  test('walks the records of a segment that proves itself and is no WAL any more', async () => {
    const name = lastOfOld;
    const segment = await walBytes(name);
    // As after a fault of memory between server and archive: the object is whole, the record is not.
    segment.writeUInt8(segment.readUInt8(8192 + 300) ^ 1, 8192 + 300);
    await using _ = await replaced(name, segment);
    const { outline, content } = await findingsOf();
    expect(outline.findings.filter(({ kind }) => kind === 'damaged')).toEqual([]);
    expect(content.findings).toContainEqual(
      expect.objectContaining({
        kind: 'damaged',
        object: wal(name),
        what: expect.stringMatching(/its WAL ends at 0\//),
      }),
    );
  });

  test('a killed run goes on where it was', async () => {
    const state = site.freshPath('state');
    const config = await configWith(state);
    const running = site.spawn(['verify', '--deep'], { config });
    const { id } = JSON.parse(await readFile(at('keyframe.json'), 'utf8')) as { id: string };
    const memory = join(state, 'verified', id, 'vault', 'main.jsonl');
    // Some object was read byte for byte, and was written down as such.
    const whole = /(?:pack-\d+|[0-9A-F]{24})","[0-9a-f]+",\d+,"content"/;
    for (let text = ''; !whole.test(text);) text = await readFile(memory, 'utf8').catch(() => '');
    running.child.kill('SIGKILL');
    expect((await running.ended).status).toBe(137);
    await appendFile(memory, '["cut off in the mid');
    const resumed = await verify(['--deep'], state);
    expect({ status: resumed.status, findings: resumed.findings }).toEqual({ status: 0, findings: [] });
    expect(resumed.coverage.remembered).toBeGreaterThan(0);
  });

  test('a sample is repeated by its seed', async () => {
    const one = await verify(['--deep', '--sample', '40%', '--seed', '7']);
    const same = await verify(['--deep', '--sample', '40%', '--seed', '7']);
    expect(one.coverage.leftOut).toBeGreaterThan(0);
    expect(one.coverage.checked).toBeGreaterThan(0);
    expect([one.seed, same.coverage]).toEqual([7, one.coverage]);
  });

  test('attack: a pack put in the place of another one is found', async () => {
    const pack = ofBackup(first.label, 'pack-00001');
    await using _ = await kept(at(pack));
    await copyFile(at(ofBackup(second.label, 'pack-00001')), at(pack));
    const { findings } = await verify();
    expect(findings[0]).toMatchObject({ object: pack, backups: expect.arrayContaining([first.label]) });
  });

  test('attack: a WAL segment replaced by another valid one, with right hashes, is found', async () => {
    const name = await segmentAfter(first);
    const segment = await walBytes(name);
    segment.writeUInt8(segment.readUInt8(SEGMENT - 1) ^ 1, SEGMENT - 1);
    await using _ = await replaced(name, segment);
    const { findings } = await verify();
    expect(findings).toMatchObject([{ kind: 'replaced', object: wal(name) }]);
  });

  test('attack: a whole backup that was removed is found', async () => {
    const directory = at(`clusters/main/1/backups/${second.label}`);
    await using _ = await moved(directory);
    const { findings } = await verify();
    expect(findings).toMatchObject([{ kind: 'missing', object: ofBackup(second.label, 'backup.json') }]);
  });

  test('attack: the newest signed WAL removed without a gap is found', async () => {
    const names = (await site.objects('clusters/main/1/wal/00000002/'))
      .map((key) => key.slice(key.lastIndexOf('/') + 1))
      .filter((name) => name >= segmentNameAt(second.timeline, second.stopLsn));
    await using kepts = new AsyncDisposableStack();
    for (const name of names) kepts.use(await moved(at(wal(name))));
    const { findings } = await verify();
    expect(findings.map(({ kind, object }) => [kind, object])).toContainEqual([
      'missing',
      wal(segmentNameAt(second.timeline, second.stopLsn)),
    ]);
  });

  test('attack: a record that was changed and sealed anew is found, and neither planned nor restored from', async () => {
    const key = ofBackup(second.label, 'backup.json');
    await using _ = await kept(at(key));
    const text = await readFile(at(key), 'utf8');
    const { createHash } = await import('node:crypto');
    const body = text
      .replace(/ {2}"signature".*\n/, '')
      .replace(/ {2}"sha256": "[0-9a-f]{64}"\n}\n$/, '')
      .replace(/"tool": ".*"/, '"tool": "somebody else"');
    const seal = createHash('sha256').update(body).digest('hex');
    await writeFile(at(key), `${body}  "sha256": "${seal}"\n}\n`);
    const { findings } = await verify();
    expect(findings.map(({ kind, object }) => [kind, object])).toContainEqual(['replaced', key]);
    const config = await configWith(site.freshPath('state'));
    for (const words of [
      ['plan', '--latest'],
      ['restore', '--latest', '--to', site.freshPath()],
    ]) {
      const fault = await site.fault(words, { config });
      expect([words[0], fault.code, fault.status]).toEqual([words[0], 'SIGNATURE_INVALID', 4]);
    }
  });

  test('attack: an older copy of the whole repository is found by a host that knew better, and cannot be excluded by others', async () => {
    const state = site.freshPath('state');
    const known = await verify([], state);
    expect(known.remarks.map(({ message }) => message).join('\n')).toMatch(/rollback cannot be excluded/);
    expect((await verify([], state)).epochs[0]?.chain.rollbackExcluded).toBe(true);
    const backup = site.freshPath('whole');
    await cp(site.repository, backup, { recursive: true, preserveTimestamps: true });
    await using _ = {
      [Symbol.asyncDispose]: async () => {
        await rm(site.repository, { recursive: true });
        await cp(backup, site.repository, { recursive: true, preserveTimestamps: true });
      },
    };
    // What the store held just after the first backup.
    await rm(at(`clusters/main/1/backups/${second.label}`), { recursive: true });
    await rm(at('clusters/main/1/chain/0000000002'));
    for (const key of await site.objects('clusters/main/1/wal/00000002')) await rm(at(key));
    const found = await verify([], state);
    expect(found.findings).toMatchObject([{ kind: 'chain', object: 'clusters/main/1/chain/0000000002' }]);
    expect(found.findings[0]?.what).toMatch(/is gone/);
    const stranger = await verify();
    expect({ status: stranger.status, findings: stranger.findings }).toEqual({ status: 0, findings: [] });
    expect(stranger.remarks.map(({ message }) => message).join('\n')).toMatch(/rollback cannot be excluded/);
    const head = known.epochs[0]?.chain.head ?? '';
    expect((await verify(['--head', head])).status).toBe(4);
  });

  test('what one of several stores lost is found when that store is looked at', async () => {
    const other = site.freshPath('other');
    await cp(site.repository, other, { recursive: true });
    const pack = ofBackup(first.label, 'pack-00001');
    await rm(join(other, pack));
    const config = site.freshPath('stores.yaml');
    const one = await readFile(await configWith(site.freshPath('state')), 'utf8');
    const slots = Object.entries({ near: site.repository, far: other });
    const stores = slots.map(([name, directory]) => JSON.stringify({ name, use: 'fs', directory }));
    const text = one.replace(/stores: .*/, `stores: [${stores.join(', ')}]\n    lead: near`);
    await writeFile(config, text);
    const of = async (args: readonly string[]): Promise<VerifyFacts & { readonly status: number }> => {
      const { status, stdout } = await site.keyframe(['verify', ...args], { config });
      return { ...(JSON.parse(stdout) as VerifyFacts), status };
    };
    expect((await of(['--store', 'near'])).status).toBe(0);
    const far = await of(['--store', 'far']);
    expect({ status: far.status, findings: far.findings }).toMatchObject({
      status: 4,
      findings: [{ kind: 'missing', object: pack }],
    });
    // Together they have everything; and what is read of one copy mends the other.
    expect((await of([])).status).toBe(0);
    expect((await site.fault(['verify', '--store', 'none'], { config })).code).toBe('INVALID_OPTION');
  });

  const segmentNameAt = (timeline: number, lsnText: string): string => {
    const [high = '', low = ''] = lsnText.split('/');
    const position = (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`) - 1n;
    const hex = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0');
    return hex(BigInt(timeline)) + hex(position >> 32n) + hex((position & 0xff_ff_ff_ffn) / BigInt(SEGMENT));
  };
  const segmentOf = async (timeline: number, lsnText: string): Promise<string> => segmentNameAt(timeline, lsnText);

  /** The segment behind the one in which a backup ends. */
  const segmentAfter = async ({ timeline, stopLsn }: BackupFacts): Promise<string> => {
    const own = segmentNameAt(timeline, stopLsn);
    const name = (await site.objects('clusters/main/1/wal/00000001/'))
      .map((key) => key.slice(key.lastIndexOf('/') + 1))
      .find((each) => /^[0-9A-F]{24}$/.test(each) && each > own);
    if (name === undefined) throw new Error(`no segment after ${own}`);
    return name;
  };

  const walBytes = async (name: string): Promise<Buffer> => {
    const { wal: archive } = await archiveIn(site.repository);
    const found = await archive.get(name);
    if (found === undefined) throw new Error(`no segment ${name}`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of found.content) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  /** Another content under the name of a segment, written as a writer would. */
  const replaced = async (name: string, content: Buffer): Promise<AsyncDisposable> => {
    const archive = await archiveIn(site.repository);
    const restore = await moved(at(wal(name)));
    const facts = {
      systemIdentifier: archive.epoch.systemIdentifier,
      timeline: Number.parseInt(name.slice(0, 8), 16),
      segmentSizeBytes: SEGMENT,
    };
    await archive.wal.put({ name, content: bytesOf(content), facts });
    return restore;
  };

  test('what was tested on is whole again', async () => {
    expect(lastOfNew.startsWith('00000002')).toBe(true);
    expect((await verify(['--deep'])).findings).toEqual([]);
  });
});
