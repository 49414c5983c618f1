import { hasCode, KeyframeError } from '@keyframe/contracts';
import type { FirstConfiguration, FirstSight } from '@keyframe/engine';
import type { ConnectionTarget } from '@keyframe/postgres';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

const DEFAULT_ROLE = 'keyframe';

export const command: Command = defineCommand({
  name: 'init',
  summary: 'Write a commented config file, after a look at the server',
  description: `Looks for the server by --url, else by the PG* variables, else in the usual socket directories, and writes keyframe.yaml (or the file of --config) with what it found. A server that does not answer is no obstacle: correct source.url later.

Beside it goes keyframe.schema.json, with which editors complete and check the file.`,
  examples: [
    { run: 'keyframe init --store-directory /mnt/backup/keyframe' },
    { run: 'keyframe init --url "postgresql://keyframe@db.example.com/postgres" --cluster orders' },
  ],
  positionals: [],
  options: {
    url: { kind: 'string', flag: '--url', value: 'uri', description: 'where the server is; without a password' },
    storeDirectory: {
      kind: 'string',
      flag: '--store-directory',
      value: 'dir',
      default: '/var/lib/keyframe',
      description: 'where backups are kept',
    },
    force: { kind: 'boolean', flag: '--force', description: 'replace a config file that is there' },
  },
  exits: { 0: 'written', ...FAULT_EXITS },
  async run({ options, globals, environment, cwd, signal, log }) {
    const path = await import('node:path');
    const { lookAround } = await import('@keyframe/engine');
    const { resolveConnection } = await import('@keyframe/postgres');
    const file = path.resolve(cwd, globals.config ?? 'keyframe.yaml');
    refuseFormat(file);
    refusePassword(options.url);
    await refuseExisting(file, options.force);
    const target = await resolveConnection(options.url, { PGDATABASE: 'postgres', ...environment });
    const sight = await lookAround(target, () => Date.now(), { signal });
    if (sight.facts === undefined) log.warn(`the server was not seen: ${sight.fault.message}`);
    const input = await firstConfiguration(target, sight, {
      clusterName: globals.cluster ?? 'main',
      repositoryName: globals.repository ?? 'vault',
      url: options.url,
      storeDirectory: path.resolve(cwd, options.storeDirectory),
    });
    await write(file, input, { force: options.force, environment });
    const { clusterName, repositoryName, url, dataDirectory, storeDirectory, server } = input;
    const version = server?.versionText;
    return {
      exit: 0,
      report: { file, clusterName, repositoryName, url, dataDirectory, storeDirectory, serverVersion: version },
    };
  },
  renderText({ file, url, serverVersion }, out) {
    out.line(`${out.style('good', 'written:')} ${file}`);
    out.line(
      serverVersion === undefined ? `server not seen; it will be ${url}` : `PostgreSQL ${serverVersion}, ${url}`,
    );
    out.line();
    out.line('Next:');
    out.line('  keyframe setup            what the server needs; --apply does it');
    out.line('  keyframe doctor           whether everything is in place');
    out.line('  keyframe backup           the first base backup');
  },
  exitFor: (error) => (hasCode(error, 'ALREADY_EXISTS') ? 2 : undefined),
});

function refuseFormat(file: string): void {
  if (/\.ya?ml$/.test(file)) return;
  throw new KeyframeError('INVALID_OPTION', `${file} is no name of a YAML file`, {
    hint: 'Give --config a name that ends in .yaml.',
  });
}

/** The command line is there for everybody to read. */
function refusePassword(url: string | undefined): void {
  if (url === undefined || !/^[a-z]+:\/\/[^@/?]*:[^@/]*@|password=/i.test(url)) return;
  throw new KeyframeError('INVALID_OPTION', 'a password on the command line is visible to everybody', {
    hint: 'Put it into ~/.pgpass or PGPASSWORD, and leave it out of --url.',
  });
}

async function refuseExisting(file: string, force: boolean): Promise<void> {
  const { existsSync } = await import('node:fs');
  if (!force && existsSync(file)) throw existing(file);
}

function existing(file: string): KeyframeError {
  return new KeyframeError('ALREADY_EXISTS', `${file} is there already`, {
    hint: 'Edit it, give --config another name, or replace it with --force.',
    details: { file },
  });
}

async function firstConfiguration(
  target: ConnectionTarget,
  sight: FirstSight,
  given: Pick<FirstConfiguration, 'clusterName' | 'repositoryName' | 'storeDirectory'> & {
    readonly url: string | undefined;
  },
): Promise<FirstConfiguration> {
  const { connectionUrl, localDataDirectory } = await import('@keyframe/engine');
  const { facts } = sight;
  // A superuser may look around, but is not whom the file should name.
  const role = facts === undefined || facts.role.superuser ? DEFAULT_ROLE : facts.role.name;
  return {
    ...given,
    url: given.url === undefined ? connectionUrl(target, role) : urlOf(given.url, facts?.role.superuser === true, role),
    dataDirectory: facts === undefined ? undefined : await localDataDirectory(facts, target),
    server: facts,
    schema: './keyframe.schema.json',
  };
}

/** The URI as it was given, but for the superuser in it; one that names its user among the parameters is left as it is. */
function urlOf(url: string, isSuperuser: boolean, role: string): string {
  if (!isSuperuser || /[?&]user=/.test(url)) return url;
  return url.replace(/^([a-z]+:\/\/)(?:[^@/?]*@)?/i, (_, scheme: string) => `${scheme}${encodeURIComponent(role)}@`);
}

/** Written aside, validated as it will be read, then put in its place: a file that is there is never half replaced. */
async function write(
  file: string,
  input: FirstConfiguration,
  {
    force,
    environment,
  }: { readonly force: boolean; readonly environment: Readonly<Record<string, string | undefined>> },
): Promise<void> {
  const { link, mkdir, rename, rm, writeFile } = await import('node:fs/promises');
  const path = await import('node:path');
  const { renderConfiguration } = await import('@keyframe/engine');
  const { configurationJsonSchema, loadConfiguration } = await import('@keyframe/runtime');
  const { BUILTIN, PLUGIN_SOURCES } = await import('../plugins.ts');
  const directory = path.dirname(file);
  const draft = path.join(directory, `.keyframe-init-${process.pid}.yaml`);
  await mkdir(directory, { recursive: true });
  try {
    await writeFile(draft, renderConfiguration(input), { mode: 0o644 });
    await loadConfiguration({ ...PLUGIN_SOURCES, configPath: draft, cwd: directory, environment });
    if (force) await rename(draft, file);
    else await link(draft, file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw existing(file);
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const schema = await configurationJsonSchema(file, BUILTIN, PLUGIN_SOURCES);
  await writeFile(path.join(directory, 'keyframe.schema.json'), `${JSON.stringify(schema, null, 2)}\n`);
}
