/** PostgreSQL's own: pg_basebackup, with cp for the WAL. @packageDocumentation */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type Contender, type Prepared, shell, type Site, word } from '../contender.ts';
import { type Command, run } from '../measure.ts';

const FIRST_WITH_INCREMENTS = 17;

interface Local {
  readonly site: Site;
  readonly base: string;
  readonly wal: string;
}

async function local(site: Site): Promise<Local> {
  const [base, wal] = [path.join(site.directory, 'base'), path.join(site.directory, 'wal')];
  await mkdir(wal, { recursive: true });
  return { site, base, wal };
}

const prepared = ({ base, wal }: Local, backup: Command, restore: (directory: string) => Command): Prepared => ({
  archiveCommand: `cp %p ${word(wal)}/%f`,
  restoreCommand: () => `cp ${word(wal)}/%f "%p"`,
  backup,
  restore,
  backups: base,
  wal,
});

const baseBackup = ({ site, base }: Local, ...args: readonly string[]): Command => ({
  argv: [path.join(site.clientBin, 'pg_basebackup'), '-D', base, '-X', 'none', '-c', 'fast', ...args],
  environment: site.cluster.connection,
});

/** A plain copy of the data directory: no compression on either side. */
export const plainCopy: Contender = {
  title: 'pg_basebackup -Fp, not compressed',
  isKeyframe: false,
  group: 'plain',
  level: 0,
  wal: false,
  async prepare(site) {
    const at = await local(site);
    const restore = (directory: string): Command => shell(`cp -a ${word(at.base)}/. ${word(directory)} && sync -f .`);
    return prepared(at, baseBackup(at, '-Fp'), restore);
  },
};

/** The archive_command of PostgreSQL's manual. */
export const copiedWal: Contender = { ...plainCopy, title: 'cp, not compressed', wal: true, backups: false };

/** A tar compressed by the client, restored by the command-line zstd. */
export function compressedTar(level: number, missing: string | undefined): Contender {
  return {
    title: `pg_basebackup -Ft, client zstd ${level}, 2 workers`,
    missing,
    isKeyframe: false,
    group: `zstd ${level}`,
    level,
    wal: false,
    async prepare(site) {
      const at = await local(site);
      const restore = (directory: string): Command =>
        shell(
          `zstd -dcq ${word(at.base)}/base.tar.zst | tar -xf - -C ${word(directory)} && sync -f ${word(directory)}`,
        );
      return prepared(at, baseBackup(at, '-Ft', `--compress=client-zstd:level=${level},workers=2`), restore);
    },
  };
}

/** PostgreSQL's own increments: tars compressed by the client, put together by pg_combinebackup. */
export function combined(level: number, major: number, missing: string | undefined): Contender {
  return {
    title: `pg_basebackup --incremental, client zstd ${level}, 2 workers; pg_combinebackup`,
    missing: major < FIRST_WITH_INCREMENTS ? `PostgreSQL ${FIRST_WITH_INCREMENTS} and newer` : missing,
    isKeyframe: false,
    group: `zstd ${level}`,
    level,
    wal: false,
    backups: false,
    increments: true,
    settings: { summarize_wal: 'on' },
    async prepare(site) {
      const at = await local(site);
      const numbered = (number: number): string => path.join(at.base, String(number));
      await mkdir(at.base, { recursive: true });
      let last = 0;
      const compress = `--compress=client-zstd:level=${level},workers=2`;
      const take = (number: number, ...args: readonly string[]): Command =>
        baseBackup({ ...at, base: numbered(number) }, '-Ft', compress, ...args);
      const increment = (): Command => {
        last += 1;
        return take(last, `--incremental=${path.join(numbered(last - 1), 'backup_manifest')}`);
      };
      const restore = (directory: string): Command => {
        const work = path.join(site.directory, `unpacked-${path.basename(directory)}`);
        const numbers = Array.from({ length: last + 1 }, (_, number) => String(number));
        const unpack = (number: string): string => {
          const [from, to] = [numbered(Number(number)), path.join(work, number)];
          return `mkdir -p ${word(to)}
zstd -dcq ${word(path.join(from, 'base.tar.zst'))} | tar -xf - -C ${word(to)}
cp ${word(path.join(from, 'backup_manifest'))} ${word(to)}`;
        };
        const chain = numbers.map((number) => word(path.join(work, number))).join(' ');
        const combine = path.join(site.cluster.bin, 'pg_combinebackup');
        const join =
          last === 0 ? `cp -a ${chain}/. ${word(directory)}` : `${word(combine)} -o ${word(directory)} ${chain}`;
        return shell(`${numbers.map(unpack).join('\n')}
${join}
sync -f ${word(directory)}
rm -rf ${word(work)}`);
      };
      return { ...prepared(at, take(0), restore), increment };
    },
  };
}

/** Why the programs in `bin` cannot compress with zstd; `undefined` when they can. */
export async function zstdFault(bin: string): Promise<string | undefined> {
  const argv = [path.join(bin, 'pg_basebackup'), '-Ft', '-D', '-', '-X', 'none', '--compress=client-zstd:1'];
  // No server is there: a build with zstd gets as far as to say so.
  return run({ argv: [...argv, '-d', 'host=/nonexistent'] }).then(
    () => undefined,
    (error: unknown) => (/connection to server/.test(String(error)) ? undefined : String(error)),
  );
}
