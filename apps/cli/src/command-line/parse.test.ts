import { describe, expect, it } from 'vitest';
import { type Command, defineCommand } from '../command.ts';
import { type Invocation, parseCommandLine } from './parse.ts';

const command: Command = defineCommand({
  name: 'wal fetch',
  summary: 'x',
  examples: [],
  positionals: [
    { name: 'file', description: '' },
    { name: 'destination', description: '', optional: true },
  ],
  options: {
    maxRate: { kind: 'size', flag: '--max-rate', value: 'size', description: 'the rate', minimum: 1024 },
    wait: { kind: 'duration', flag: '--wait', value: 'time', default: '5min', description: 'the wait' },
    count: { kind: 'integer', flag: '--count', value: 'n', description: 'how many', minimum: 1, maximum: 9 },
    type: { kind: 'string', flag: '--type', value: 'type', choices: ['full', 'auto'], description: 'the type' },
    map: { kind: 'repeatable', flag: '--map', value: 'a=b', description: 'the map' },
    force: { kind: 'boolean', flag: '--force', short: '-f', description: 'by force' },
    noSync: { kind: 'boolean', flag: '--no-sync', description: 'without sync' },
    to: { kind: 'string', flag: '--to', value: 'dir', required: true, description: 'the target' },
  },
  exits: {},
  run: async () => ({ exit: 0, report: {} }),
});

const parse = (...argv: readonly string[]): ReturnType<typeof parseCommandLine> =>
  parseCommandLine(argv, { 'wal fetch': async () => ({ command }) });
const invocation = async (...argv: readonly string[]): Promise<Invocation> => (await parse(...argv)).invocation;

describe('a command line', () => {
  it('gives typed values, defaults and absent options', async () => {
    expect(await invocation('wal', 'fetch', '--to', '/x', 'F')).toEqual({
      kind: 'run',
      command,
      positionals: { file: 'F', destination: undefined },
      options: {
        maxRate: undefined,
        wait: 300_000,
        count: undefined,
        type: undefined,
        map: [],
        force: false,
        noSync: false,
        to: '/x',
      },
    });
    const all = ['--max-rate', '32KiB', '--wait=10s', '--count', '3', '--type', 'full', '--map', 'a=b', '--map', 'c=d'];
    expect(await invocation('wal', 'fetch', ...all, '-f', '--no-sync', '--to=-y', 'F', 'D')).toMatchObject({
      positionals: { file: 'F', destination: 'D' },
      options: {
        maxRate: 32_768,
        wait: 10_000,
        count: 3,
        type: 'full',
        map: ['a=b', 'c=d'],
        force: true,
        noSync: true,
        to: '-y',
      },
    });
  });

  it('takes globals anywhere, and everything after -- as it is', async () => {
    const words = ['--cluster', 'c', 'wal', '--json', 'fetch', '--config', 'a b.yaml', '--to', 't', '-q', '--'];
    const { globals, invocation: parsed } = await parse(...words, '--json', '-x');
    expect(globals).toEqual({
      config: 'a b.yaml',
      cluster: 'c',
      repository: undefined,
      json: true,
      quiet: true,
      verbose: false,
    });
    expect(parsed).toMatchObject({ positionals: { file: '--json', destination: '-x' } });
  });

  it.each([
    [[], '--to <dir> is missing'],
    [['--to', 'x', '--count', '10'], '--count cannot be 10'],
    [['--to', 'x', '--count', '1.5'], '--count: "1.5" is no whole number'],
    [['--to', 'x', '--max-rate', '1B'], '--max-rate cannot be 1B'],
    [['--to', 'x', '--max-rate', '5'], '--max-rate: "5" is no size'],
    [['--to', 'x', '--wait', '5'], '--wait: "5" is no duration'],
    [['--to', 'x', '--type', 'ful'], '--type cannot be "ful"'],
    [['--to', ''], '--to is empty'],
    [['--to'], "option '--to <dir>' argument missing"],
    [['--to', 'x', 'b', 'c'], 'too many arguments'],
  ])('%j is refused', async (words, message) => {
    const parsed = await invocation('wal', 'fetch', 'F', ...words);
    expect(parsed).toMatchObject({ kind: 'fault', command, error: { code: 'INVALID_OPTION' } });
    expect(parsed).toHaveProperty('error.message', expect.stringContaining(message));
    expect(parsed).toHaveProperty('error.hint', expect.stringMatching(/./));
  });

  it('without a positional is refused', async () =>
    expect(await invocation('wal', 'fetch', '--to', 'x')).toMatchObject({
      kind: 'fault',
      error: { message: "missing required argument 'file'" },
    }));

  it('asks for help even where something is missing', async () =>
    expect(await invocation('wal', 'fetch', '--help')).toEqual({ kind: 'help', command }));

  it('asks for the version', async () => expect(await invocation('--version')).toEqual({ kind: 'version' }));
});
