import { quoteForCommandSetting, type ServerFacts } from '@keyframe/postgres';
import { describe, expect, it } from 'vitest';
import { readArchiveCommand } from './archive-command.ts';
import { judge } from './doctor.ts';
import type { Evidence, HostEvidence, RepositoryEvidence } from './evidence.ts';
import { argumentsOf, expected, healthy } from './healthy-server.fixture.ts';

const healthyHost: HostEvidence = {
  files: [{ path: '/opt/node', problem: undefined }],
  sameConfig: true,
  serverUid: 105,
  ourUid: 105,
  walFreeBytes: 2 ** 40,
};

function evidence(
  server: Partial<ServerFacts> = {},
  host: Partial<HostEvidence> = {},
  rest: Partial<Evidence> = {},
): Evidence {
  return {
    server: { value: { ...healthy, ...server } },
    replication: { value: { systemIdentifier: '7' } },
    host: { value: { ...healthyHost, ...host } },
    store: { value: { createOnly: true, milliseconds: 4 } },
    repository: { value: { id: 'r', systemIdentifiers: ['7'], backups: 2, damagedBackups: 0, newestBackup: 'b2' } },
    ...rest,
  };
}

const statusOf = (given: Evidence, id: string): string | undefined =>
  judge(given, expected).find((finding) => finding.id === id)?.status;

const command = (value: string): Partial<ServerFacts> => ({ archiveCommand: value });

describe('judge', () => {
  it('finds nothing wrong with a server as it should be, and looks at every prerequisite', () => {
    const findings = judge(evidence(), expected);
    expect(findings.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(findings.map(({ id }) => id)).toEqual([
      'connection',
      'replication',
      'version',
      'wal-level',
      'wal-senders',
      'fsync',
      'full-page-writes',
      'data-checksums',
      'wal-compression',
      'time-zone',
      'clock',
      'archive-mode',
      'archive-library',
      'archive-command',
      'archive-command-files',
      'archive-timeout',
      'archiver',
      'last-archived',
      'wal-headroom',
      'role',
      'rights',
      'store',
      'repository',
    ]);
  });

  const { archiver, role, wal } = healthy;
  if (archiver === undefined) throw new Error('the fixture has an archiver');
  const ours = (...args: Parameters<typeof argumentsOf>): Partial<ServerFacts> =>
    command(quoteForCommandSetting(argumentsOf(...args)));

  it.each<[string, string, 'ok' | 'warn' | 'fail' | 'skipped', Partial<ServerFacts>, Partial<HostEvidence>?]>([
    ['PostgreSQL 13', 'version', 'fail', { major: 13, versionText: '13.23' }],
    ['PostgreSQL 19', 'version', 'warn', { major: 19, versionText: '19.0' }],
    ['wal_level minimal', 'wal-level', 'fail', { walLevel: 'minimal' }],
    ['wal_level logical', 'wal-level', 'ok', { walLevel: 'logical' }],
    ['no WAL sender', 'wal-senders', 'fail', { maxWalSenders: 0, usedWalSenders: 0 }],
    ['the last WAL sender', 'wal-senders', 'warn', { maxWalSenders: 2, usedWalSenders: 1 }],
    ['fsync off', 'fsync', 'fail', { fsync: false }],
    ['full_page_writes off', 'full-page-writes', 'fail', { fullPageWrites: false }],
    ['no checksums', 'data-checksums', 'warn', { dataChecksums: false }],
    ['a hidden setting', 'wal-level', 'skipped', { walLevel: undefined }],
    ['a clock ahead', 'clock', 'warn', { clockSkewMs: 5000 }],
    ['a clock behind', 'clock', 'warn', { clockSkewMs: -5000 }],
    ['a clock that a slow link blurs', 'clock', 'ok', { clockSkewMs: 5000, roundTripMs: 8000 }],
    ['archive_mode off', 'archive-mode', 'fail', { archiveMode: 'off' }],
    [
      'an archive_mode that waits for a restart',
      'archive-mode',
      'fail',
      {
        archiveMode: 'off',
        settings: new Map([
          ['archive_mode', { value: 'off', unit: undefined, source: 'default', pendingRestart: true }],
        ]),
      },
    ],
    ['a standby', 'archive-mode', 'warn', { inRecovery: true }],
    ['an archiving standby', 'archive-mode', 'ok', { inRecovery: true, archiveMode: 'always' }],
    ['an archive library', 'archive-library', 'fail', { archiveLibrary: 'basic_archive' }],
    ['PostgreSQL 14, without libraries', 'archive-library', 'ok', { archiveLibrary: undefined }],
    ['no archive_command', 'archive-command', 'fail', command('')],
    ['a foreign archive_command', 'archive-command', 'fail', command('cp %p /backup/%f')],
    ['a command in a chain', 'archive-command', 'warn', command(`${expected.command} || true`)],
    ['no path', 'archive-command', 'fail', command(expected.command.replace('"%p"', ''))],
    ['another cluster', 'archive-command', 'fail', ours('other')],
    ['another repository', 'archive-command', 'fail', ours('main', 'other')],
    [
      'another config file',
      'archive-command',
      'fail',
      command(expected.command.replace('/etc/', '/srv/')),
      { sameConfig: false },
    ],
    [
      'a config file behind a link',
      'archive-command',
      'ok',
      command(expected.command.replace('/etc/', '/srv/')),
      { sameConfig: true },
    ],
    [
      'a config file elsewhere',
      'archive-command',
      'warn',
      command(expected.command.replace('/etc/', '/srv/')),
      { sameConfig: undefined },
    ],
    ['another installation of ours', 'archive-command', 'ok', command(expected.command.replaceAll('/opt/', '/usr/'))],
    ['a call without the wrapper', 'archive-command', 'warn', command('/usr/bin/keyframe wal push %p')],
    ['a missing wrapper', 'archive-command-files', 'fail', {}, { files: [{ path: '/x', problem: 'missing' }] }],
    ['another system user', 'system-user', 'warn', {}, { ourUid: 0 }],
    ['no archive_timeout', 'archive-timeout', 'warn', { archiveTimeoutSeconds: 0 }],
    ['a failing archiver', 'archiver', 'fail', { archiver: { ...archiver, failing: true, failedCount: 3 } }],
    [
      'a stuck archiver',
      'last-archived',
      'fail',
      { archiver: { ...archiver, lastArchivedAgeSeconds: 900 }, wal: { ...wal, readyFiles: 9 } },
    ],
    ['a quiet server', 'last-archived', 'ok', { archiver: { ...archiver, lastArchivedAgeSeconds: 90_000 } }],
    [
      'nothing archived',
      'last-archived',
      'warn',
      { archiver: { ...archiver, lastArchivedWal: undefined, lastArchivedAgeSeconds: undefined } },
    ],
    ['little room', 'wal-headroom', 'warn', {}, { walFreeBytes: 3_600_000 * 5 }],
    ['no room', 'wal-headroom', 'fail', {}, { walFreeBytes: 3_600_000 * 3 }],
    ['young statistics', 'wal-headroom', 'skipped', { wal: { ...wal, secondsSinceReset: 5 } }],
    ['a server elsewhere', 'wal-headroom', 'skipped', {}, { walFreeBytes: undefined }],
    ['a superuser', 'role', 'warn', { role: { ...role, superuser: true } }],
    ['no REPLICATION', 'role', 'fail', { role: { ...role, replication: false } }],
    ['missing rights', 'rights', 'warn', { role: { ...role, maySwitchWal: false } }],
    [
      'rights that a standby does not need',
      'rights',
      'ok',
      { inRecovery: true, role: { ...role, maySwitchWal: false } },
    ],
  ])('%s: %s is %s', (_, id, status, server, host) => {
    expect(statusOf(evidence(server, host), id)).toBe(status);
  });

  it.each<[string, string, string, Partial<Evidence>]>([
    [
      'replication refused',
      'replication',
      'fail',
      { replication: { fault: { code: 'SERVER_REFUSED', message: 'no', hint: undefined } } },
    ],
    ['a pooler in between', 'replication', 'fail', { replication: { value: { systemIdentifier: '8' } } }],
    ['a store that fails', 'store', 'fail', { store: { fault: { code: 'ACCESS_DENIED', message: 'no', hint: 'h' } } }],
    ['a store that overwrites', 'store', 'warn', { store: { value: { createOnly: false, milliseconds: 1 } } }],
    [
      'no repository',
      'repository',
      'fail',
      {
        repository: {
          value: { id: undefined, systemIdentifiers: [], backups: 0, damagedBackups: 0, newestBackup: undefined },
        },
      },
    ],
    [
      'another cluster of this name',
      'repository',
      'fail',
      {
        repository: { value: { id: 'r', systemIdentifiers: ['8'], backups: 1, damagedBackups: 0, newestBackup: 'b' } },
      },
    ],
    [
      'no backup',
      'repository',
      'warn',
      {
        repository: {
          value: { id: 'r', systemIdentifiers: [], backups: 0, damagedBackups: 0, newestBackup: undefined },
        },
      },
    ],
  ])('%s: %s is %s', (_, id, status, rest) => {
    expect(statusOf(evidence({}, {}, rest), id)).toBe(status);
  });

  it('calls signed what is signed, and tells how to begin', () => {
    const of = (signing: RepositoryEvidence['signing'], backups = 2) => {
      const kept = { id: 'r', systemIdentifiers: ['7'], backups, damagedBackups: 0, newestBackup: 'b2', signing };
      const findings = judge(evidence({}, {}, { repository: { value: kept } }), expected);
      const found = findings.find(({ id }) => id === 'signing');
      return found && [found.status, /`(.*?)`/.exec(found.fix ?? '')?.[1]];
    };
    expect(of('none')).toEqual(['ok', 'keyframe signer create']);
    expect(of('begins')).toEqual(['warn', 'keyframe backup']);
    expect(of('begins', 0)).toEqual(['ok', undefined]);
    expect(of('awaited')).toEqual(['warn', 'keyframe backup']);
    expect(of('signed')).toEqual(['ok', undefined]);
    expect(of(undefined)).toBeUndefined();
  });

  it('warns of secrets that others may read, with the command for each', () => {
    const of = (exposed: Evidence['exposed']) =>
      judge(evidence({}, {}, { exposed }), expected)
        .filter(({ id }) => id === 'secret-files')
        .map(({ status, fix }) => [status, fix]);
    const open = (file: string) => ({ file, mode: '0644', fix: `Run \`chmod 0600 ${file}\`.` });
    expect(of([open('/a'), open('/b')])).toEqual([['warn', 'Run `chmod 0600 /a`. Run `chmod 0600 /b`.']]);
    expect([of([]), of(undefined)]).toEqual([[['ok', undefined]], []]);
  });

  it('fails where no key of the configuration lets this host write', () => {
    const of = (encryption: Evidence['encryption']) =>
      judge(evidence({}, {}, { encryption }), expected)
        .filter(({ id }) => id === 'encryption')
        .map(({ status, fix }) => [status, fix]);
    const fault = { code: 'KEY_WRONG', message: 'no key opens it', hint: 'Check `encrypt`.' };
    expect([of({ value: true }), of({ value: false }), of({ fault }), of(undefined)]).toEqual([
      [['ok', undefined]],
      [['ok', undefined]],
      [['fail', 'Check `encrypt`.']],
      [],
    ]);
  });

  it('says of everything that is wrong why it matters and what to do', () => {
    const bad = evidence(
      {
        major: 13,
        walLevel: 'minimal',
        archiveMode: 'off',
        archiveCommand: '',
        fsync: false,
        dataChecksums: false,
        archiveTimeoutSeconds: 0,
        role: { ...role, replication: false, monitor: false },
      },
      { walFreeBytes: 1 },
      { store: { fault: { code: 'ACCESS_DENIED', message: 'no', hint: undefined } } },
    );
    const wrong = judge(bad, expected).filter(({ status }) => status === 'warn' || status === 'fail');
    expect(wrong.length).toBeGreaterThan(8);
    expect(wrong.filter(({ why, fix }) => !why || !/[`=]|npm|pg_/.test(fix ?? ''))).toEqual([]);
  });

  it('asks nothing of a server that cannot be reached, and still looks at the repository', () => {
    const fault = { code: 'SERVER_UNREACHABLE', message: 'connection refused', hint: 'Start it.' };
    const given = evidence({}, {}, { server: { fault }, replication: { absent: 'x' }, host: { absent: 'x' } });
    expect(judge(given, expected).map(({ id, status }) => [id, status])).toEqual([
      ['connection', 'fail'],
      ['replication', 'skipped'],
      ['store', 'ok'],
      ['repository', 'ok'],
    ]);
  });
});

describe('several stores', () => {
  const good = { value: { createOnly: true, milliseconds: 1 } };
  const bad = { fault: { code: 'UNAVAILABLE', message: 'no answer', hint: undefined } };
  const found = (probes: readonly (typeof good | typeof bad)[], rule: { quorum: number; lead?: string }) =>
    judge(
      evidence(
        {},
        {},
        { mirrors: { stores: probes.map((probe, index) => ({ name: 'abc'.charAt(index), probe })), rule } },
      ),
      expected,
    )
      .filter(({ id }) => id.startsWith('store') || id === 'quorum')
      .map(({ id, status }) => `${id}: ${status}`);

  it.each([
    ['three that serve', [good, good, good], { quorum: 2 }, ['ok', 'ok', 'ok', 'ok']],
    ['one that may be missed', [good, bad, good], { quorum: 2 }, ['ok', 'warn', 'ok', 'ok']],
    ['too few', [good, bad, bad], { quorum: 2 }, ['ok', 'fail', 'fail', 'fail']],
    ['two that must both serve', [good, good], { quorum: 2 }, ['ok', 'ok', 'warn']],
    ['a lead', [good, bad], { quorum: 1, lead: 'a' }, ['ok', 'warn', 'ok']],
    ['a lead that is missing', [good, bad], { quorum: 1, lead: 'b' }, ['ok', 'fail', 'fail']],
  ])('%s', (_, probes, rule, statuses) => {
    const ids = [...probes.map((_probe, index) => `store ${'abc'.charAt(index)}`), 'quorum'];
    expect(found(probes, rule)).toEqual(ids.map((id, index) => `${id}: ${statuses[index]}`));
  });
});

describe('readArchiveCommand', () => {
  it('reads back everything of our own', () => {
    expect(readArchiveCommand(expected.command)).toEqual({
      kind: 'keyframe',
      wrapped: true,
      passesPath: true,
      config: '/etc/keyframe/keyframe.yaml',
      cluster: 'main',
      repository: 'vault',
      programs: ['/opt/k/bin/keyframe-archive-command', '/opt/node'],
      scripts: ['/opt/k/main.mjs'],
    });
  });

  it('survives blanks, quotes and percent signs in paths', () => {
    const argv = ["/opt/it's 100%/keyframe-archive-command", '/n', '/m.mjs', '--config=/a b/c%d.yaml', '--', '%p'];
    expect(readArchiveCommand(quoteForCommandSetting(argv))).toMatchObject({
      kind: 'keyframe',
      config: '/a b/c%d.yaml',
      programs: [argv[0], '/n'],
    });
  });

  it.each([
    ['', 'none'],
    ['test ! -f /a/%f && cp %p /a/%f', 'foreign'],
    ['pgbackrest --stanza=main archive-push %p', 'foreign'],
    ['/opt/keyframe-archive-command x && true', 'mixed'],
    ['cp %p /srv/keyframe/%f', 'foreign'],
  ])('tells %j as %s', (text, kind) => expect(readArchiveCommand(text).kind).toBe(kind));
});
