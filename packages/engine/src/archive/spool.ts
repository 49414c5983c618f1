/**
 * Markers by which the shell wrapper of archive_command answers without starting Node: "this file is durable in the repository".
 *
 * A marker is believed only in the run of the postmaster in which it was made, so it can tell nothing about a file that
 * another server, a restored copy or a later run has under the same name, and only by the very command that the marker names:
 * archive_command may be set to another repository while the server runs. The wrapper removes a marker before it says so.
 * @packageDocumentation
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseWalFileName } from '@keyframe/contracts';
import { readPostmaster } from '@keyframe/postgres';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const MODE = 0o700;
/** Group and others. */
const WRITABLE_BY_OTHERS = 0o022;

/** Which markers are meant. */
export interface SpoolOptions {
  /** Name of the spool in the data directory. */
  readonly spool: string;
  /** The words of archive_command before the path: markers count for it alone. */
  readonly spoolFor: string;
}

/** The markers of one data directory. */
export interface Spool {
  /** Says that the file is durable. Never fails for want of space or rights: then the wrapper asks Node. */
  mark(name: string, systemIdentifier: string): Promise<void>;
  has(name: string): boolean;
}

/**
 * Opens the spool of the data directory whose server runs archive_command now, and clears what earlier runs left.
 * @returns `undefined` where no server runs, or where others could write markers
 */
export async function openSpool(
  dataDirectory: string,
  { spool: name, spoolFor: command }: SpoolOptions,
): Promise<Spool | undefined> {
  const directory = join(dataDirectory, name);
  const run = await runOf(dataDirectory);
  if (run === undefined || !(await isPrivate(directory))) return undefined;
  const names = new Set<string>();
  for (const found of await readdir(directory)) {
    if (await isOfRun(join(directory, found), run, command)) names.add(found);
    else await rm(join(directory, found), { force: true });
  }
  return {
    has: (file) => names.has(file),
    async mark(file, systemIdentifier) {
      const path = join(directory, file);
      const temporary = `${path}.${process.pid}.tmp`;
      try {
        await writeFile(temporary, `${run.words} ${systemIdentifier} ${file} ${run.dataDirectory}\n${command}\n`, {
          mode: 0o600,
        });
        await rename(temporary, path);
        names.add(file);
      } catch (error) {
        // No space, no rights: the file is archived all the same, which the next call finds out from the repository.
        assertSystemFault(error);
        await rm(temporary, { force: true });
      }
    },
  };
}

interface Run {
  /** What identifies it: boot of this machine, process and its start. */
  readonly words: string;
  /** As the postmaster itself wrote it. */
  readonly dataDirectory: string;
}

async function runOf(dataDirectory: string): Promise<Run | undefined> {
  const postmaster = await readPostmaster(dataDirectory);
  const boot = await readFile(BOOT_ID, 'utf8').catch(() => '');
  if (postmaster === undefined || boot === '') return undefined;
  const { pid, startedAtSeconds, dataDirectory: named } = postmaster;
  return { words: `${boot.trim()} ${pid} ${startedAtSeconds}`, dataDirectory: named };
}

async function isPrivate(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: MODE, recursive: true });
    const { uid, mode } = await stat(directory);
    return uid === process.geteuid?.() && (mode & WRITABLE_BY_OTHERS) === 0;
  } catch (error) {
    assertSystemFault(error);
    return false; // a full disk, say: then every call is answered by Node
  }
}

function assertSystemFault(error: unknown): void {
  if (!(error instanceof Error && 'syscall' in error)) throw error;
}

async function isOfRun(path: string, { words }: Run, command: string): Promise<boolean> {
  if (parseWalFileName(path.slice(path.lastIndexOf('/') + 1)) === undefined) return false;
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.startsWith(`${words} `) && text.endsWith(`\n${command}\n`);
}
