/**
 * Fetches one WAL file for restore_command.
 *
 * PostgreSQL takes a plain failure as "there is no such file": the end of WAL, where recovery may finish and open the database.
 * So `absent` is answered only after a positive proof; every doubt is an error, which the caller turns into a status above 125.
 * @see https://www.postgresql.org/docs/18/runtime-config-wal.html#GUC-RESTORE-COMMAND
 * @packageDocumentation
 */
import { randomUUID } from 'node:crypto';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Abortable, type ByteStream, KeyframeError, parseWalFileName, segmentNumberOf } from '@keyframe/contracts';
import { type EpochArchive, parseWalInventory, type Repository, type WalObjectHeader } from '@keyframe/repository';

/** Where a WAL file is looked for. */
export interface FetchContext {
  readonly repository: Repository;
  readonly archive: EpochArchive;
  /** What the archive held, as `WalInventory.toText` wrote it, when this recovery was planned: a file of it that is gone now is a fault, never the end of WAL. */
  readonly frozen?: string | undefined;
  /** A standby waits for more WAL and reads on where it stopped: it is never given a segment that is not all there. */
  readonly standby?: boolean | undefined;
}

/** `absent` is proven: the repository was reached and holds no such file. */
export type FetchOutcome = 'fetched' | 'absent';

/**
 * Puts the file at `destination`, whole and verified, or proves that the archive holds no such file.
 * @throws {KeyframeError} WAL_INVALID, WAL_GAP, WRONG_CLUSTER, CORRUPT, UNAVAILABLE, ACCESS_DENIED, REPOSITORY_MISSING
 */
export async function fetchWal(
  context: FetchContext,
  request: { readonly name: string; readonly destination: string },
  options: Abortable = {},
): Promise<FetchOutcome> {
  const { name, destination } = request;
  if (parseWalFileName(name) === undefined)
    throw new KeyframeError('WAL_INVALID', `${JSON.stringify(name)} is not the name of a WAL file`, {
      hint: "Use restore_command as `keyframe restore` writes it: it ends in '%f' '%p'.",
    });
  const found = await find(context, name, options);
  if (found === undefined) {
    await proveAbsence(context, name, options);
    return 'absent';
  }
  checkOwner(context.archive, found, name);
  await writeWhole(found, destination);
  return 'fetched';
}

/** A whole file; or what was there of an open segment when this recovery was planned, which ends before what is missing. */
async function find(
  { archive, frozen, standby = false }: FetchContext,
  name: string,
  options: Abortable,
): Promise<StoredWalFile | undefined> {
  const endBytes = frozen === undefined || standby ? 0 : plannedBytes(frozen, name);
  return endBytes === 0 ? archive.wal.get(name, options) : archive.wal.getStreamed(name, endBytes, options);
}

function plannedBytes(frozen: string, name: string): number {
  const inventory = parseWalInventory(frozen);
  const file = parseWalFileName(name);
  if (file?.kind !== 'segment') return 0;
  return inventory.streamedBytes(file.timeline, segmentNumberOf(file, inventory.segmentSizeBytes));
}

/** An unmounted or emptied store looks like an absent file. Only a repository that answers for itself can say "no such file". */
async function proveAbsence(
  { repository, archive, frozen, standby = false }: FetchContext,
  name: string,
  options: Abortable,
): Promise<void> {
  await repository.confirm(options);
  if (frozen === undefined) return;
  if (!parseWalInventory(frozen).has(name) && (standby || plannedBytes(frozen, name) === 0)) return;
  throw new KeyframeError(
    'WAL_GAP',
    `WAL file ${name} was in the archive when this recovery was planned and is gone now`,
    {
      hint: 'Run `keyframe wal status`, bring the object back or plan again; recovery was stopped, nothing is lost.',
      details: { name, epoch: archive.epoch.number },
    },
  );
}

function checkOwner(archive: EpochArchive, found: StoredWalFile, name: string): void {
  const { systemIdentifier } = found.header;
  if (systemIdentifier === archive.epoch.systemIdentifier) return;
  throw new KeyframeError('WRONG_CLUSTER', `WAL file ${name} belongs to database cluster ${systemIdentifier}`, {
    hint: 'Check `--cluster` and `--repository` in restore_command.',
    details: { expected: archive.epoch.systemIdentifier, found: systemIdentifier },
  });
}

interface StoredWalFile {
  readonly header: WalObjectHeader;
  readonly content: ByteStream;
}

const TEMPORARY = '.keyframe-tmp-';

/**
 * The file appears whole. When PostgreSQL is killed its restore_command may live on and write for the same destination as the
 * next one's: each has a file of its own, and whoever comes later takes away the one that the earlier would put in place.
 */
async function writeWhole(found: StoredWalFile, destination: string): Promise<void> {
  const temporary = `${destination}${TEMPORARY}${randomUUID()}`;
  try {
    await removeEarlier(destination);
    await write(found.content, temporary);
    await rename(temporary, destination);
  } catch (error) {
    await rm(temporary, { force: true });
    throw localFault(error, destination);
  }
}

async function removeEarlier(destination: string): Promise<void> {
  const directory = dirname(destination);
  const prefix = basename(destination) + TEMPORARY;
  for (const name of await readdir(directory))
    if (name.startsWith(prefix)) await rm(join(directory, name), { force: true });
}

async function write(content: ByteStream, path: string): Promise<void> {
  await using handle = await open(path, 'wx', 0o600);
  for await (const chunk of content) await handle.writeFile(chunk);
}

function localFault(error: unknown, destination: string): unknown {
  const code = error instanceof Error && 'syscall' in error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === undefined) return error;
  return new KeyframeError(code === 'ENOSPC' ? 'DISK_FULL' : 'ACCESS_DENIED', `cannot write ${destination}: ${code}`, {
    cause: error,
    hint: 'Check space and owner of the data directory, then start PostgreSQL again: recovery goes on where it stopped.',
  });
}
