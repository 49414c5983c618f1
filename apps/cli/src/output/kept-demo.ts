/** How to look around in what `keyframe demo --keep` left behind. @packageDocumentation */
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { DemoPostgres, DemoReport } from '@keyframe/engine';
import type { Environment } from '@keyframe/postgres';

/** What the commands depend on. */
export interface KeptDemo extends DemoPostgres {
  readonly report: Pick<DemoReport, 'configFile' | 'restored'>;
  readonly environment: Environment;
  /** The word or path that runs this Keyframe. */
  readonly launcher: string;
}

/** Shell commands that work as they are, run by the same user, in this order. */
export async function keptDemoCommands(kept: KeptDemo): Promise<string[]> {
  const { shellQuote } = await import('@keyframe/postgres');
  const line = (words: readonly string[]): string => words.map(shellQuote).join(' ');
  const { dataDirectory, port, socketDirectory } = kept.report.restored;
  const { binDirectory } = kept.installation;
  const tool = (...words: string[]): string[] => {
    const [name = '', ...rest] = words;
    return [...asServer(kept), join(binDirectory, name), ...rest, '-D', dataDirectory];
  };
  const question = 'select count(*) from customers';
  const psql = await findProgram('psql', [binDirectory, ...(kept.environment['PATH'] ?? '').split(delimiter)]);
  const catalogue = line([kept.launcher, '--config', kept.report.configFile, 'list']);
  // npm's PostgreSQL has no psql; in single-user mode the server itself answers.
  if (psql === undefined) {
    const single = tool('postgres', '--single');
    return [`echo ${shellQuote(question)} | ${line([...single, 'postgres'])}`, catalogue];
  }
  return [
    line([...tool('pg_ctl'), '-o', `-c port=${port}`, '-l', `${dataDirectory}.log`, 'start']),
    line([psql, '-h', socketDirectory, '-p', String(port), '-U', 'keyframe', '-d', 'postgres', '-c', question]),
    catalogue,
    line([...tool('pg_ctl'), 'stop']),
  ];
}

/** PostgreSQL refuses to run as root. */
function asServer({ runner }: KeptDemo): readonly string[] {
  if (runner.identity === undefined) return runner.prefix;
  const { uid, gid } = runner.identity;
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
}

async function findProgram(name: string, directories: readonly string[]): Promise<string | undefined> {
  for (const directory of directories.filter((each) => each !== '')) {
    const path = join(directory, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}
