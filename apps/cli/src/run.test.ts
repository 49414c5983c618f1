import { KeyframeError, Secret } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import type { Command } from './command.ts';
import { type CommandSpec, defineCommand, FAULT_EXITS } from './command.ts';
import type { OptionSpecs, PositionalSpec } from './command-line/spec.ts';
import { runKeyframe } from './run.ts';

type Action = CommandSpec<OptionSpecs, readonly PositionalSpec[], object>['run'];

function commandNamed(name: string, action: Action, more: Partial<Command> = {}): Command {
  return {
    ...defineCommand({
      name,
      summary: `Do ${name}`,
      examples: [{ run: `keyframe ${name}` }],
      positionals: [],
      options: {},
      exits: { 0: 'done', 3: 'half', 5: 'locked', ...FAULT_EXITS },
      run: action,
      renderText: (report, out) => out.line(`text ${JSON.stringify(report)}`),
    }),
    ...more,
  };
}

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  argv: readonly string[],
  commands: readonly Command[],
  signal: AbortSignal = new AbortController().signal,
): Promise<Outcome> {
  const written = { stdout: '', stderr: '' };
  const registry = Object.fromEntries(commands.map((command) => [command.name, async () => ({ command })]));
  const into = (name: 'stdout' | 'stderr') => ({ write: (text: string) => void (written[name] += text) });
  const status = await runKeyframe({
    argv,
    environment: {},
    cwd: '/',
    stdout: into('stdout'),
    stderr: into('stderr'),
    signal,
    registry,
  });
  return { status, ...written };
}

const fails = (error: unknown): Action => {
  return async () => {
    throw error;
  };
};

describe('a report', () => {
  const command = commandNamed('look', async () => ({
    exit: 3,
    report: { size: 2n ** 60n, at: new Date(0), secret: new Secret('x'), gone: undefined, map: new Map([['a', 1]]) },
  }));

  it('is text for people on stdout, with the status of the command', async () => {
    const simple = commandNamed('look', async () => ({ exit: 3, report: { n: 1 } }));
    expect(await run(['look'], [simple])).toEqual({ status: 3, stdout: 'text {"n":1}\n', stderr: '' });
  });

  it('is one JSON document with --json, before or after the command', async () => {
    for (const argv of [
      ['--json', 'look'],
      ['look', '--json'],
    ]) {
      const { status, stdout, stderr } = await run(argv, [command]);
      expect({ status, stderr }).toEqual({ status: 3, stderr: '' });
      expect(JSON.parse(stdout)).toEqual({
        size: '1152921504606846976',
        at: '1970-01-01T00:00:00.000Z',
        secret: '***',
        map: { a: 1 },
      });
    }
  });

  it('with a status that the command does not list is a fault of ours', async () => {
    const { status, stderr } = await run(['odd'], [commandNamed('odd', async () => ({ exit: 9, report: {} }))]);
    expect(status).toBe(1);
    expect(stderr).toContain('(INTERNAL)');
  });
});

describe('a fault', () => {
  const locked = new KeyframeError('LOCKED', 'another backup runs', {
    hint: 'Wait for it.',
    details: { holder: 'db1', bytes: 5n },
    cause: new Error('lease 17', { cause: new Error('the disk said no') }),
  });

  it('says what, why and what to do, on stderr', async () => {
    expect(await run(['go'], [commandNamed('go', fails(locked))])).toEqual({
      status: 5,
      stdout: '',
      stderr:
        'keyframe: another backup runs (LOCKED)\n  why: lease 17\n  why: the disk said no\n  hint: Wait for it.\n',
    });
  });

  it('is the one document with --json', async () => {
    const { status, stdout, stderr } = await run(['go', '--json'], [commandNamed('go', fails(locked))]);
    expect({ status, stderr }).toEqual({ status: 5, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: 'LOCKED',
        message: 'another backup runs',
        causes: ['lease 17', 'the disk said no'],
        hint: 'Wait for it.',
        details: { holder: 'db1', bytes: '5' },
      },
    });
  });

  it.each([
    ['INVALID_OPTION', 2],
    ['CONFIG_INVALID', 2],
    ['CONFIG_NOT_FOUND', 2],
    ['PLUGIN_NOT_FOUND', 2],
    ['TARGET_AMBIGUOUS', 2],
    ['LOCKED', 5],
    ['UNAVAILABLE', 1],
    // This command does not list 4.
    ['CORRUPT', 1],
  ] as const)('with the code %s ends with %i', async (code, status) =>
    expect((await run(['go'], [commandNamed('go', fails(new KeyframeError(code, 'x')))])).status).toBe(status),
  );

  it('of a command that decides itself ends as it says, bad arguments included', async () => {
    const strict = commandNamed('go', fails(locked), { exits: { 0: 'ok', 200: 'no' }, exitFor: () => 200 });
    expect((await run(['go'], [strict])).status).toBe(200);
    expect((await run(['go', '--bad'], [strict])).status).toBe(200);
    expect((await run(['go', 'surplus'], [strict])).status).toBe(200);
  });

  it('that is no KeyframeError is called INTERNAL; --verbose shows where', async () => {
    const { status, stderr } = await run(['go', '--verbose'], [commandNamed('go', fails(new TypeError('boom')))]);
    expect(status).toBe(1);
    expect(stderr).toContain('keyframe: TypeError: boom (INTERNAL)');
    expect(stderr).toContain('run.test.ts');
  });
});

describe('clean-up', () => {
  it('runs last first, after success, fault and bad status alike, and does not hide the fault', async () => {
    const order: string[] = [];
    const command = commandNamed('go', ({ defer }) => {
      defer(() => void order.push('first'));
      defer(() => {
        order.push('second');
        throw new Error('closing failed');
      });
      return Promise.reject(new KeyframeError('WAL_GAP', 'the fault'));
    });
    const { stderr } = await run(['go'], [command]);
    expect(order).toEqual(['second', 'first']);
    expect(stderr).toContain('the fault (WAL_GAP)');
  });

  it('that fails after success is a fault', async () => {
    const command = commandNamed('go', async ({ defer }) => {
      defer(() => Promise.reject(new KeyframeError('UNAVAILABLE', 'not flushed')));
      return { exit: 0, report: {} };
    });
    const { status, stdout, stderr } = await run(['go'], [command]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('not flushed');
  });
});

describe('a signal', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])('%s aborts the command, cleans up and ends with %i', async (name, status) => {
    const abort = new AbortController();
    let closed = false;
    const command = commandNamed('wait', ({ signal, defer }) => {
      defer(() => {
        closed = true;
      });
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
        abort.abort(new DOMException(name, 'AbortError'));
      });
    });
    const outcome = await run(['wait'], [command], abort.signal);
    expect(outcome).toEqual({ status, stdout: '', stderr: `keyframe: interrupted by ${name}\n` });
    expect(closed).toBe(true);
  });
});

describe('asking for help', () => {
  const commands = [
    commandNamed('wal push', async () => ({ exit: 0, report: {} })),
    commandNamed('wal fetch', async () => ({ exit: 0, report: {} })),
    commandNamed('backup', async () => ({ exit: 0, report: {} })),
  ];

  it('shows all commands, a group, or one with its statuses and examples', async () => {
    expect((await run(['--help'], commands)).stdout).toMatch(/wal push {3}Do wal push[^]*backup/);
    const group = await run(['wal', '--help'], commands);
    expect(group.stdout).toContain('wal fetch');
    expect(group.stdout).not.toContain('Do backup');
    const one = await run(['wal', 'push', '-h'], commands);
    expect(one.status).toBe(0);
    expect(one.stdout).toMatch(/Usage: keyframe wal push[^]*Exit status:[^]* {2}3 {9}half[^]*130, 143[^]*Examples:/);
  });

  it('is not needed to see it: without a command it stands on stderr, with status 2', async () => {
    const { status, stdout, stderr } = await run([], commands);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: keyframe <command>');
    expect((await run(['wal'], commands)).status).toBe(2);
  });

  it.each([
    [['bakcup'], "unknown command 'bakcup'", 'backup'],
    [['wal', 'fetsh'], "unknown command 'fetsh'", 'fetch'],
    [['info'], "unknown command 'info'", 'list'],
    [['backup', '--jsn'], "unknown option '--jsn'", '--json'],
  ])('follows a mistake in %j', async (argv, what, meant) => {
    const { status, stderr } = await run(argv, commands);
    expect(status).toBe(2);
    expect(stderr).toContain(`keyframe: ${what} (INVALID_OPTION)`);
    expect(stderr).toContain(`Did you mean ${meant}?`);
  });

  it.each([
    [[], '`keyframe` needs a command'],
    [['wal'], '`keyframe wal` needs a command'],
  ])('%j with --json is a mistake, told in JSON', async (argv, message) => {
    const { status, stdout, stderr } = await run([...argv, '--json'], commands);
    expect({ status, stderr }).toEqual({ status: 2, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'INVALID_OPTION', message } });
  });

  it('a mistake with --json is told in JSON', async () => {
    const { stdout } = await run(['backup', '--nope', '--json'], commands);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'INVALID_OPTION' } });
  });
});
