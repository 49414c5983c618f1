/**
 * Where WAL files wait that recovery will ask for next, so that the shell wrapper of restore_command answers without Node.
 *
 * They lie in the data directory, so that the wrapper only renames them, and under a name that base backups and `pg_rewind`
 * leave out wherever it stands. Like a marker of the other direction they count in one run of one server and for the words of
 * one command alone: both are in the claim of the process that fetches, without which the wrapper takes nothing.
 * @see excludeFiles and PG_TEMP_FILE_PREFIX in src/backend/backup/basebackup.c in PostgreSQL
 * @packageDocumentation
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseWalFileName } from '@keyframe/contracts';
import { isRunning } from '@keyframe/postgres';
import type { LeaseHolder } from '@keyframe/repository';
import { isHolderAlive, thisProcess } from '../backup/holder.ts';
import { assertSystemFault, isPrivateDirectory, type ServerRun, serverRun, type SpoolOptions } from './spool-run.ts';

/** In the spool. */
export const FETCHED_DIRECTORY = 'pgsql_tmp.fetched';
/** In that directory: whose files they are, and the segment that PostgreSQL got without them last. */
const CLAIM = 'claim';
const ASKED = 'asked';
/** Behind the name of a file that is being fetched. The wrapper waits for it a while. */
const COMING = '.coming';
const SIGNALS = ['recovery.signal', 'standby.signal'] as const;

/** The files fetched ahead for one recovery, held by this process. */
export interface FetchSpool {
  /** Where a file must appear whole. */
  pathOf(name: string): string;
  /** Says that the file is under way. */
  announce(name: string): Promise<void>;
  /** Says that it is there, or will not come. */
  settle(name: string): Promise<void>;
  /** Names of what waits, without what PostgreSQL does not need any more: that is removed. */
  waiting(): Promise<readonly string[]>;
  /** True for a segment that PostgreSQL has got otherwise, or lies before such a one. */
  isPast(name: string): Promise<boolean>;
  /** False once the server has ended, its recovery is over, or another process took over. */
  isWanted(): Promise<boolean>;
  /** Bytes that the file system has left for others than root. */
  freeBytes(): Promise<number>;
  /** Removes what waits, unless another process took over. */
  clear(): Promise<void>;
}

/** True while the server of this data directory recovers from an archive, or is about to. */
function isRecovering(dataDirectory: string): boolean {
  return SIGNALS.some((name) => existsSync(join(dataDirectory, name)));
}

/**
 * Tells who fetches ahead that PostgreSQL has got this segment from elsewhere.
 * @returns true when nobody fetches ahead, although a recovery runs in this data directory
 */
export async function noteAsked(name: string, dataDirectory: string, options: SpoolOptions): Promise<boolean> {
  const run = await serverRun(dataDirectory);
  if (run === undefined || !isRecovering(dataDirectory)) return false;
  const directory = directoryOf(dataDirectory, options);
  const claim = await readOwn(join(directory, CLAIM));
  if (!(await isLive(claim, claimOf(run, options)))) return true;
  await writeFile(join(directory, ASKED), name, { mode: 0o600 }).catch(assertSystemFault);
  return false;
}

/** Takes the spool for this process. @returns `undefined` where nobody may fetch ahead, or another process does */
export async function claimFetchSpool(dataDirectory: string, options: SpoolOptions): Promise<FetchSpool | undefined> {
  const run = await serverRun(dataDirectory);
  if (run === undefined || !isRecovering(dataDirectory)) return undefined;
  const directory = directoryOf(dataDirectory, options);
  for (const each of [join(dataDirectory, options.spool), directory])
    if (!(await isPrivateDirectory(each))) return undefined;
  const head = claimOf(run, options);
  const earlier = await readOwn(join(directory, CLAIM));
  if (await isLive(earlier, head)) return undefined;
  const claim = `${head}${JSON.stringify(await thisProcess('keyframe wal prefetch'))}\n`;
  try {
    // What an earlier run or another command left says nothing about this recovery's files.
    const isOfRun = earlier?.startsWith(head) === true;
    for (const found of await readdir(directory))
      if (!isOfRun || parseWalFileName(found) === undefined) await rm(join(directory, found), { force: true });
    await writeFile(join(directory, `${CLAIM}.new`), claim, { mode: 0o600 });
    await rename(join(directory, `${CLAIM}.new`), join(directory, CLAIM));
  } catch (error) {
    assertSystemFault(error);
    return undefined;
  }
  return new ClaimedSpool(dataDirectory, directory, { run, claim });
}

/** Removes what a recovery that is over left behind. */
export async function clearFetched(dataDirectory: string, spool: string): Promise<void> {
  if (!isRecovering(dataDirectory))
    await rm(join(dataDirectory, spool, FETCHED_DIRECTORY), { recursive: true, force: true });
}

class ClaimedSpool implements FetchSpool {
  readonly #dataDirectory: string;
  readonly #directory: string;
  readonly #run: ServerRun;
  readonly #claim: string;

  constructor(dataDirectory: string, directory: string, held: { readonly run: ServerRun; readonly claim: string }) {
    this.#dataDirectory = dataDirectory;
    this.#directory = directory;
    this.#run = held.run;
    this.#claim = held.claim;
  }

  pathOf(name: string): string {
    return join(this.#directory, name);
  }

  async announce(name: string): Promise<void> {
    await writeFile(this.pathOf(name + COMING), '', { mode: 0o600 });
  }

  async settle(name: string): Promise<void> {
    await rm(this.pathOf(name + COMING), { force: true });
  }

  async waiting(): Promise<readonly string[]> {
    const files = (await readdir(this.#directory)).filter((name) => parseWalFileName(name) !== undefined);
    const asked = await readOwn(this.pathOf(ASKED));
    const past = files.filter((name) => isPast(name, asked));
    for (const name of past) await rm(this.pathOf(name), { force: true });
    return files.filter((name) => !past.includes(name));
  }

  async isPast(name: string): Promise<boolean> {
    return isPast(name, await readOwn(this.pathOf(ASKED)));
  }

  async isWanted(): Promise<boolean> {
    const now = await serverRun(this.#dataDirectory);
    const lives = now?.words === this.#run.words && (await isRunning(this.#dataDirectory)) !== undefined;
    return lives && isRecovering(this.#dataDirectory) && (await this.#isHeld());
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory);
    return bavail * bsize;
  }

  async clear(): Promise<void> {
    if (await this.#isHeld()) await rm(this.#directory, { recursive: true, force: true });
  }

  async #isHeld(): Promise<boolean> {
    return (await readOwn(this.pathOf(CLAIM))) === this.#claim;
  }
}

/** Names without their timeline sort by position. */
function isPast(name: string, asked: string | undefined): boolean {
  return asked !== undefined && name.slice(8) <= asked.slice(8);
}

const directoryOf = (dataDirectory: string, { spool }: SpoolOptions): string =>
  join(dataDirectory, spool, FETCHED_DIRECTORY);

/** The two lines that the wrapper compares; the third is the process that fetches. */
const claimOf = ({ words, dataDirectory }: ServerRun, { spoolFor }: SpoolOptions): string =>
  `${words} ${dataDirectory}\n${spoolFor}\n`;

/** True for a claim that begins so and whose process lives. It was renamed into place, so it is whole. */
async function isLive(claim: string | undefined, head: string): Promise<boolean> {
  if (claim?.startsWith(head) !== true) return false;
  return isHolderAlive(JSON.parse(claim.slice(head.length)) as LeaseHolder);
}

async function readOwn(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    assertSystemFault(error);
    return undefined;
  }
}
