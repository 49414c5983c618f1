/** Command line of the benchmark. @packageDocumentation */
import { parseArgs } from 'node:util';
import { allMajors, type Major } from '@keyframe/testkit/postgres';

export interface BenchOptions {
  readonly major: Major;
  readonly gigabytes: number;
  readonly segments: number;
  readonly rounds: number;
  readonly levels: readonly number[];
  readonly only: ReadonlySet<string> | undefined;
  readonly contenders: RegExp | undefined;
  readonly update: string | undefined;
  /** Name of the marks in that file. */
  readonly mark: string;
  readonly help: boolean;
}

export const HELP = `Runs Keyframe and its peers on the same data and prints a table.

  --major N          PostgreSQL major, 14 to 18; pgBackRest of Debian 12 knows up to 15 (default 15)
  --size GB          size of the database, about (default 1)
  --segments N       WAL segments to archive and replay (default 48)
  --rounds N         runs of each contender, of which the median counts (default 3)
  --levels LIST      zstd levels of backups; WAL uses the first (default 1,3)
  --only LIST        of: limits, backup (with restore), increment, days (ten increments, restores),
                     memory (generated data of --size), backlog (archived by
                     a server), answered (archive_command for what went
                     ahead), wal (push by hand, and replay), start;
                     archive: backlog, answered, replay and receivers
                     or commit alone (synchronous receivers, and their speed),
                     or lens alone (reading WAL for its index),
                     or search alone (log over 10,000 indexed segments)
  --contenders RE    only those whose title matches
  --update FILE      put the tables between the marks of this file, too
  --mark NAME        which marks: <!-- NAME: begin --> and <!-- NAME: end --> (default figures)
`;

const OPTIONS = {
  major: { type: 'string', default: '15' },
  size: { type: 'string', default: '1' },
  segments: { type: 'string', default: '48' },
  rounds: { type: 'string', default: '3' },
  levels: { type: 'string', default: '1,3' },
  only: { type: 'string' },
  contenders: { type: 'string' },
  update: { type: 'string' },
  mark: { type: 'string', default: 'figures' },
  help: { type: 'boolean', default: false },
} as const;

/** @throws {Error} for what it does not understand */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const major = allMajors.find((known) => known === Number(values.major));
  if (major === undefined) throw new Error(`--major: one of ${allMajors.join(', ')}`);
  const positive = (name: 'size' | 'segments' | 'rounds'): number => {
    const value = Number(values[name]);
    if (!(value > 0)) throw new Error(`--${name}: a number above 0`);
    return value;
  };
  return {
    major,
    gigabytes: positive('size'),
    segments: Math.ceil(positive('segments')),
    rounds: Math.ceil(positive('rounds')),
    levels: values.levels.split(',').map(Number),
    only: values.only === undefined ? undefined : new Set(values.only.split(',')),
    contenders: values.contenders === undefined ? undefined : new RegExp(values.contenders, 'i'),
    update: values.update,
    mark: values.mark,
    help: values.help,
  };
}
