/** pgBackRest as the distribution packages it, with two processes. @packageDocumentation */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Contender, word } from '../contender.ts';
import { run } from '../measure.ts';

const PROGRAM = 'pgbackrest';
/** PostgreSQL majors that 2.45, the version of Debian 12, knows. */
const NEWEST_MAJOR_OF_2_45 = 15;

/** The version that is installed. */
export async function pgBackRestVersion(): Promise<string | undefined> {
  return run({ argv: [PROGRAM, 'version'] }).then(
    (text) => /\d+(\.\d+)+/.exec(text)?.[0],
    () => undefined,
  );
}

/** Why it cannot back up such a server. */
export function pgBackRestFault(version: string | undefined, major: number): string | undefined {
  if (version === undefined) return 'not installed (on Debian: apt-get install pgbackrest)';
  const isOld = Number(version.split('.')[1] ?? 0) <= 45;
  return isOld && major > NEWEST_MAJOR_OF_2_45
    ? `version ${version} supports PostgreSQL up to ${NEWEST_MAJOR_OF_2_45}`
    : undefined;
}

/** Its asynchronous form, which pushes and gets WAL ahead: a row of its own in the scenarios about WAL. It pushes from a data directory only. */
export function pgBackRestAsync(level: number, version: string | undefined, missing: string | undefined): Contender {
  const row = pgBackRest(level, version, missing, { 'archive-async': 'y' });
  return {
    ...row,
    title: `${row.title}, asynchronous`,
    backups: false,
    increments: false,
    pushesByHand: false,
    async prepare(site) {
      const prepared = await row.prepare(site);
      return { ...prepared, goesAhead: true, archiveCommand: `${prepared.archiveCommand} --no-archive-async` };
    },
  };
}

export function pgBackRest(
  level: number,
  version: string | undefined,
  missing: string | undefined,
  more: Readonly<Record<string, string>> = {},
): Contender {
  return {
    title: `pgBackRest ${version ?? ''} zst ${level}, 2 processes`,
    missing,
    isKeyframe: false,
    group: `zstd ${level}`,
    level,
    increments: true,
    async prepare({ directory, cluster }) {
      const at = (name: string): string => path.join(directory, name);
      await mkdir(directory, { recursive: true });
      const globals = {
        'repo1-path': at('repo'),
        'repo1-retention-full': 9,
        'lock-path': at('lock'),
        'log-path': at('log'),
        'spool-path': at('spool'),
        'log-level-file': 'off',
        'log-level-console': 'warn',
        'compress-type': 'zst',
        'compress-level': level,
        'process-max': 2,
        'start-fast': 'y',
        ...more,
      };
      const stanza = {
        'pg1-path': cluster.data,
        'pg1-socket-path': cluster.socketDirectory,
        'pg1-port': cluster.port,
        'pg1-user': 'postgres',
      };
      const lines = (entries: object): string =>
        Object.entries(entries)
          .map(([name, value]) => `${name}=${value}\n`)
          .join('');
      await writeFile(at('pgbackrest.conf'), `[global]\n${lines(globals)}\n[bench]\n${lines(stanza)}`);
      const argv = [PROGRAM, `--config=${at('pgbackrest.conf')}`, '--stanza=bench'];
      const words = argv.map(word).join(' ');
      await run({ argv: [...argv, 'stanza-create'] });
      return {
        archiveCommand: `${words} archive-push %p`,
        archiveCommandIn: (data) => `${words} --pg1-path=${word(data)} archive-push %p`,
        restoreCommand: (data) => `${words} --pg1-path=${word(data)} archive-get %f "%p"`,
        backup: { argv: [...argv, '--type=full', 'backup'] },
        restore: (target) => ({ argv: [...argv, `--pg1-path=${target}`, '--type=immediate', 'restore'] }),
        increment: () => ({ argv: [...argv, '--type=incr', 'backup'] }),
        delta: (target) => ({ argv: [...argv, `--pg1-path=${target}`, '--type=immediate', '--delta', 'restore'] }),
        backups: at('repo/backup'),
        wal: at('repo/archive'),
      };
    },
  };
}
