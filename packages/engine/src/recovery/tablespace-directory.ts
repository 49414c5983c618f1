/** Directories of tablespaces, as a restore finds them. @packageDocumentation */
import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyframeError } from '@keyframe/contracts';
import { RESTORE_MARKER } from './restore-claim.ts';
import { local } from './target-directory.ts';

/** A tablespace directory as a restore finds it. */
export interface TablespaceTarget {
  readonly oid: number;
  readonly directory: string;
  /** True when this restore, or an unfinished one before it, may take what is there: it is the cluster's own. */
  readonly isOwn: boolean;
  /** Set when what is there shall be reused. */
  readonly postgresVersion?: number | undefined;
}

/** Refuses a tablespace directory that is in use: PostgreSQL would write into a live one on the same host. */
export async function checkTablespaceDirectory(target: TablespaceTarget): Promise<void> {
  const { oid, directory, isOwn, postgresVersion } = target;
  const names = await local(directory, () => readdir(directory).catch(absentAsEmpty));
  const elsewhere = `Put the tablespace elsewhere with \`--tablespace ${oid}=DIR\``;
  if (names.length > 0 && !isOwn)
    throw new KeyframeError('TARGET_DIRECTORY', `the tablespace directory ${directory} is not empty`, {
      hint: `${elsewhere}, or empty that directory if nothing uses it.`,
      details: { oid, directory },
    });
  const foreign = postgresVersion === undefined ? undefined : foreignIn(names, postgresVersion);
  if (foreign === undefined) return;
  throw new KeyframeError('TARGET_DIRECTORY', `the tablespace directory ${directory} holds ${foreign} too`, {
    hint: `${elsewhere}, or move ${foreign} away: only a directory of this tablespace alone is taken up.`,
    details: { oid, directory, foreign },
  });
}

/** Whether the old data directory has its tablespace `oid` in that very directory. */
export async function isTablespaceOf(dataDirectory: string, oid: number, directory: string): Promise<boolean> {
  const [linked, named] = await Promise.all(
    [join(dataDirectory, 'pg_tblspc', String(oid)), directory].map((path) => realpath(path).catch(() => undefined)),
  );
  return linked !== undefined && linked === named;
}

/**
 * What else lies in a tablespace directory that is reused. It may belong to another major version of PostgreSQL, which keeps
 * its own directory beside ours, so nothing of it can be removed.
 */
function foreignIn(names: readonly string[], postgresVersion: number): string | undefined {
  const own = `PG_${Math.trunc(postgresVersion / 10_000)}_`;
  return names.find((name) => !name.startsWith(own) && name !== RESTORE_MARKER);
}

function absentAsEmpty(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return [];
  throw error;
}
