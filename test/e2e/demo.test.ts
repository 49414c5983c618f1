import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ensurePostgres, needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { type Ended, run, type Running } from './support/keyframe.ts';
import { eventually } from './support/servers.ts';

const LAUNCHER = fileURLToPath(new URL('../../keyframe', import.meta.url));

interface DemoFacts {
  readonly directory: string;
  readonly configFile: string;
  readonly postgres: string;
  readonly customersBefore: number;
  readonly customersDeleted: number;
  readonly deletedByXid: number;
  readonly deletedAt: string;
  readonly backup: string;
  readonly stopsAt: string;
  readonly customersRestored: number;
  readonly sameContent: boolean;
  readonly ordersBefore: number;
  readonly ordersRestored: number;
  readonly laterRowsRestored: number;
  readonly proven: boolean;
  readonly kept: boolean;
  readonly lookAround?: readonly string[];
}

/** The demo with a place for temporary files of its own, and what it leaves there. */
async function stage(stack: AsyncDisposableStack) {
  const directory = await mkdtemp('/tmp/kf-demo-');
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  stack.defer(async () => {
    for (const pid of await processesIn(directory)) process.kill(pid, 'SIGKILL');
  });
  return {
    directory,
    spawn: (args: readonly string[]): Running =>
      run([LAUNCHER, 'demo', ...args], { environment: { TMPDIR: directory } }),
    left: async () => ({ files: await readdir(directory), processes: await processesIn(directory) }),
  };
}

/** Processes that name the directory in their arguments or work in it, as PostgreSQL's do. */
async function processesIn(directory: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of (await readdir('/proc')).filter((each) => /^\d+$/.test(each))) {
    const words = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    const home = await readlink(`/proc/${name}/cwd`).catch(() => '');
    if (words.includes(directory) || home.startsWith(directory)) found.push(Number(name));
  }
  return found;
}

const NOTHING = { files: [], processes: [] };

test('the demo proves its point by facts that fit together, and leaves nothing behind', async () => {
  await using stack = new AsyncDisposableStack();
  const { spawn, left } = await stage(stack);
  const { status, stdout, stderr } = await spawn(['--json']).ended;
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  const facts = JSON.parse(stdout) as DemoFacts;
  expect(facts).toMatchObject({
    proven: true,
    sameContent: true,
    customersDeleted: 10_000,
    customersRestored: facts.customersBefore,
    laterRowsRestored: 0,
    kept: false,
  });
  expect(facts.customersBefore).toBeGreaterThan(facts.customersDeleted);
  // Orders that were committed between the count and the mistake are kept too.
  expect(facts.ordersRestored).toBeGreaterThanOrEqual(facts.ordersBefore);
  expect(facts.deletedByXid).toBeGreaterThan(700);
  expect(facts.stopsAt).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
  expect(Math.abs(Date.parse(facts.deletedAt) - Date.now())).toBeLessThan(300_000);
  expect(facts.lookAround).toBeUndefined();
  expect(await left()).toEqual(NOTHING);
});

test('the demo keeps what it made on request, and says commands that work', async (context) => {
  await needs(context, 'postgres-18');
  await using stack = new AsyncDisposableStack();
  const { spawn, left, directory } = await stage(stack);
  const { status, stdout, stderr } = await spawn(['--keep', '--bin-dir', await ensurePostgres(18)]).ended;
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^proven .*10000 deleted customers are back, PostgreSQL 18/m);
  const { files, processes } = await left();
  expect([files.length, processes]).toEqual([1, []]);
  const commands = stdout.split('\n').filter((line) => line.startsWith('  ') && line.includes(directory));
  const ended: Ended[] = [];
  for (const command of commands) ended.push(await run(['sh', '-c', command]).ended);
  expect(ended.map((each) => [each.status, each.status === 0 ? '' : each.stderr])).toEqual(commands.map(() => [0, '']));
  const [started, counted, listed] = ended.map((each) => each.stdout);
  expect(started).toContain('server started');
  expect(counted).toContain('50000');
  expect(listed).toMatch(/\d{8}T\d{6}Z-full/);
  expect((await left()).processes).toEqual([]);
});

test('the demo that is interrupted leaves nothing behind either', async (context) => {
  await needs(context, 'postgres-18');
  await using stack = new AsyncDisposableStack();
  const { spawn, left, directory } = await stage(stack);
  const running = spawn(['--json', '--bin-dir', await ensurePostgres(18)]);
  stack.defer(() => void running.child.kill('SIGKILL'));
  const objects = async (): Promise<string[]> =>
    (await readdir(directory, { recursive: true })).filter((path) => path.includes('repository/clusters/'));
  await eventually(async () => expect(await objects()).not.toEqual([]), 60_000);
  running.child.kill('SIGINT');
  expect((await running.ended).status).toBe(130);
  expect(await left()).toEqual(NOTHING);
});
