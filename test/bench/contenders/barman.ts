/** Barman from the Python package index, in a virtual environment of its own. @packageDocumentation */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Contender, word } from '../contender.ts';
import { run, unprivilegedUser } from '../measure.ts';

/** What can be said about the installation. */
export interface Barman {
  readonly program: string;
  readonly version: string;
  readonly missing?: string | undefined;
}

/** Installs the pinned version below `peers` unless it is there. Never throws: a peer may be missing. */
export async function ensureBarman(peers: string): Promise<Barman> {
  const pins = fileURLToPath(new URL('../peers/barman.txt', import.meta.url));
  const home = path.join(peers, 'barman-3.19.1');
  const program = path.join(home, 'bin', 'barman');
  try {
    if (!existsSync(path.join(home, 'complete'))) await install(home, pins);
    return { program, version: (await run({ argv: [program, '--version'] })).split(' ')[0] ?? '' };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return { program, version: '', missing: `cannot be installed: ${said.split('\n').at(-1)?.slice(0, 200)}` };
  }
}

/** A virtual environment names its own place, so it is made where it stays and marked once it is whole. */
async function install(home: string, pins: string): Promise<void> {
  await rm(home, { recursive: true, force: true });
  await mkdir(path.dirname(home), { recursive: true });
  await run({ argv: ['python3', '-m', 'venv', home] });
  const flags = '--quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --requirement';
  await run({ argv: [path.join(home, 'bin', 'pip'), 'install', ...flags.split(' '), pins] });
  await writeFile(path.join(home, 'complete.new'), '');
  await rename(path.join(home, 'complete.new'), path.join(home, 'complete'));
}

export function barman(level: number, { program, version, missing }: Barman, zstd: string | undefined): Contender {
  return {
    title: `Barman ${version} zstd ${level}`,
    missing: missing ?? zstd,
    isKeyframe: false,
    group: `zstd ${level}`,
    level,
    async prepare({ directory, cluster, clientBin }) {
      const home = path.join(directory, 'home');
      const incoming = path.join(home, 'bench', 'incoming');
      await mkdir(incoming, { recursive: true });
      const { PGHOST, PGPORT, PGUSER, PGDATABASE } = cluster.connection;
      const connection = `host=${PGHOST} port=${PGPORT} user=${PGUSER} dbname=${PGDATABASE}`;
      const configured = async (name: string, user: string): Promise<readonly string[]> => {
        const file = path.join(directory, name);
        await writeFile(file, configuration({ user, home, connection, level, clientBin }));
        return [program, '-q', '-c', file];
      };
      const argv = await configured('barman.conf', userInfo().username);
      const recovering = (await configured('recovering.conf', unprivilegedUser())).map(word).join(' ');
      return {
        archiveCommand: `cp %p ${word(incoming)}/%f`,
        restoreCommand: () => `${recovering} get-wal -P bench %f > "%p"`,
        backup: { argv: [...argv, 'backup', 'bench'] },
        // Without --get-wal it wants rsync for the WAL; with it PostgreSQL fetches what it needs.
        restore: (target) => ({ argv: [...argv, 'restore', '--get-wal', 'bench', 'latest', target] }),
        backups: path.join(home, 'bench', 'base'),
        wal: path.join(home, 'bench', 'wals'),
        afterPush: { argv: [...argv, 'archive-wal', 'bench'] },
      };
    },
  };
}

/** Its increments are PostgreSQL's, and it takes them of uncompressed backups only. */
export function barmanIncrements({ program, version, missing }: Barman, major: number): Contender {
  return {
    title: `Barman ${version} --incremental, not compressed`,
    missing: missing ?? (major < 17 ? 'PostgreSQL 17 and newer' : undefined),
    isKeyframe: false,
    group: 'plain',
    level: 0,
    wal: false,
    backups: false,
    increments: true,
    missingChains: existsSync('/usr/bin/rsync') ? undefined : 'its restore of increments needs rsync',
    settings: { summarize_wal: 'on' },
    async prepare({ directory, cluster, clientBin }) {
      const home = path.join(directory, 'home');
      const incoming = path.join(home, 'bench', 'incoming');
      await mkdir(incoming, { recursive: true });
      const { PGHOST, PGPORT, PGUSER, PGDATABASE } = cluster.connection;
      const connection = `host=${PGHOST} port=${PGPORT} user=${PGUSER} dbname=${PGDATABASE}`;
      const file = path.join(directory, 'barman.conf');
      const text = configuration({ user: userInfo().username, home, connection, level: 1, clientBin });
      await writeFile(file, text.replaceAll(/^(backup_)?compression.*\n/gm, ''));
      const argv = [program, '-q', '-c', file];
      return {
        archiveCommand: `cp %p ${word(incoming)}/%f`,
        restoreCommand: () => 'false',
        backup: { argv: [...argv, 'backup', 'bench'] },
        increment: () => ({ argv: [...argv, 'backup', '--incremental', 'latest', 'bench'] }),
        restore: (target) => ({
          argv: [...argv, 'restore', '--get-wal', '--local-staging-path', directory, 'bench', 'latest', target],
        }),
        backups: path.join(home, 'bench', 'base'),
        wal: path.join(home, 'bench', 'wals'),
      };
    },
  };
}

interface Configured {
  readonly user: string;
  readonly home: string;
  readonly connection: string;
  readonly level: number;
  readonly clientBin: string;
}

const configuration = ({ user, home, connection, level, clientBin }: Configured): string => `[barman]
barman_user = ${user}
barman_home = ${home}
barman_lock_directory = ${home}
configuration_files_directory = ${home}
log_file = ${home}/barman.log
[bench]
description = benchmark
conninfo = ${connection}
streaming_conninfo = ${connection}
backup_method = postgres
archiver = on
immediate_checkpoint = true
path_prefix = ${clientBin}
backup_compression = zstd
backup_compression_level = ${level}
backup_compression_workers = 2
backup_compression_format = tar
backup_compression_location = client
compression = zstd
compression_level = ${level}
`;
