import type { ServerFacts } from '@keyframe/postgres';
import { describe, expect, it } from 'vitest';
import { expected, healthy } from '../doctor/healthy-server.fixture.ts';
import { planSetup, type SetupRequest } from './plan-setup.ts';
import { renderConfiguration } from './render-configuration.ts';

const request: SetupRequest = {
  role: 'keyframe',
  database: 'postgres',
  from: { kind: 'socket' },
  systemUser: 'postgres',
  archiveCommand: expected.command,
  archiveTimeoutSeconds: 60,
  force: false,
  majorIfUnknown: 18,
};
const actions = (facts: Partial<ServerFacts>, change: Partial<SetupRequest> = {}): Record<string, string> =>
  Object.fromEntries(
    planSetup({ ...healthy, ...facts }, { ...request, ...change }).settings.map(({ name, action }) => [name, action]),
  );

describe('planSetup', () => {
  it('changes nothing where nothing has to', () => {
    expect(new Set(Object.values(actions({ walLevel: 'logical', archiveMode: 'always' })))).toEqual(new Set(['keep']));
  });

  it('sets what is missing on a fresh server, and says what needs a restart', () => {
    const fresh = {
      walLevel: 'minimal',
      archiveMode: 'off',
      archiveCommand: '',
      archiveTimeoutSeconds: 0,
      maxWalSenders: 0,
    };
    const { settings } = planSetup({ ...healthy, ...fresh }, request);
    expect(settings.map(({ name, value, needsRestart }) => [name, value, needsRestart])).toEqual([
      ['wal_level', 'replica', true],
      ['archive_mode', 'on', true],
      ['archive_command', expected.command, false],
      ['archive_timeout', '60s', false],
      ['max_wal_senders', '10', true],
    ]);
    expect(new Set(settings.map(({ action }) => action))).toEqual(new Set(['set']));
  });

  it('blocks on an archive_command or library of something else, unless forced', () => {
    const foreign = { archiveCommand: 'cp %p /x/%f', archiveLibrary: 'basic_archive' };
    expect(actions(foreign)).toMatchObject({ archive_command: 'blocked', archive_library: 'blocked' });
    expect(actions(foreign, { force: true })).toMatchObject({ archive_command: 'set', archive_library: 'set' });
    expect(actions({ archiveCommand: '/old/keyframe-archive-command /n /m.mjs -- "%p"' })['archive_command']).toBe(
      'set',
    );
  });

  it('leaves room for the WAL senders in use', () => {
    const { settings } = planSetup({ ...healthy, maxWalSenders: 10, usedWalSenders: 9 }, request);
    expect(settings.find(({ name }) => name === 'max_wal_senders')).toMatchObject({ value: '11', action: 'set' });
  });

  it('plans everything for a server that it has not seen', () => {
    const plan = planSetup(undefined, { ...request, majorIfUnknown: 15 });
    expect(new Set(plan.settings.map(({ action }) => action))).toEqual(new Set(['set']));
    expect(plan.sql.join('\n')).toContain('pg_backup_start');
    expect(plan.warnings).toHaveLength(1);
  });

  it('lets the role in through a socket by the system user, from elsewhere by password', () => {
    expect(planSetup(healthy, request)).toMatchObject({
      hba: ['local  postgres  keyframe  peer map=keyframe', 'local  replication  keyframe  peer map=keyframe'],
      ident: ['keyframe  postgres  keyframe'],
    });
    expect(planSetup(healthy, { ...request, systemUser: 'keyframe' }).ident).toEqual([]);
    expect(planSetup({ ...healthy, hbaFile: '/etc/pg/pg_hba.conf' }, request).files.hba).toBe('/etc/pg/pg_hba.conf');
    const from = { kind: 'address', network: '10.0.0.5/32' } as const;
    expect(planSetup(healthy, { ...request, from, role: 'Back"up', database: 'all' }).hba).toEqual([
      'host  "all"  "Back""up"  10.0.0.5/32  scram-sha-256',
      'host  replication  "Back""up"  10.0.0.5/32  scram-sha-256',
    ]);
  });
});

describe('renderConfiguration', () => {
  const input = {
    clusterName: 'main',
    repositoryName: 'vault',
    url: 'postgresql://keyframe@/postgres?host=/var/run/postgresql',
    dataDirectory: '/var/lib/postgresql/18/main',
    storeDirectory: '/srv/key frame: #1',
    server: healthy,
    schema: './keyframe.schema.json',
  };

  it('begins with the line that editors look for, and quotes what YAML would misread', () => {
    const text = renderConfiguration(input);
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=./keyframe.schema.json');
    expect(text).toContain('directory: "/srv/key frame: #1"');
    expect(text).toContain('PostgreSQL 18.6, system identifier 7, 1.0 GiB');
    expect(text).toContain('      dataDirectory: /var/lib/postgresql/18/main');
  });

  it('leaves the data directory as an example when it is elsewhere', () => {
    const text = renderConfiguration({ ...input, dataDirectory: undefined, server: undefined });
    expect(text).toContain('# dataDirectory:');
    expect(text).toContain('without having seen the server');
  });
});
