/**
 * In which run of which server the content of its spool may be believed, and where the spool lies.
 * @packageDocumentation
 */
import { mkdir, readFile, stat } from 'node:fs/promises';
import { readPostmaster } from '@keyframe/postgres';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const MODE = 0o700;
/** Group and others. */
const WRITABLE_BY_OTHERS = 0o022;

/** Which spool is meant. */
export interface SpoolOptions {
  /** Name of the spool in the data directory. */
  readonly spool: string;
  /** The words of the command before what PostgreSQL fills in: the spool counts for it alone. */
  readonly spoolFor: string;
}

/** One run of a server: from the start of its postmaster to its end. */
export interface ServerRun {
  /** What identifies it, as the shell wrappers put it together: boot of this machine, process and its start. */
  readonly words: string;
  /** As the postmaster itself wrote it. */
  readonly dataDirectory: string;
}

/** The server that says it runs on this data directory now; `undefined` where none does, or the system does not tell boots apart. */
export async function serverRun(dataDirectory: string): Promise<ServerRun | undefined> {
  const postmaster = await readPostmaster(dataDirectory);
  const boot = await readFile(BOOT_ID, 'utf8').catch(() => '');
  if (postmaster === undefined || boot === '') return undefined;
  const { pid, startedAtSeconds, dataDirectory: named } = postmaster;
  return { words: `${boot.trim()} ${pid} ${startedAtSeconds}`, dataDirectory: named };
}

/** Makes the directory unless it is there. False where others could write into it, or where it cannot be made. */
export async function isPrivateDirectory(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: MODE, recursive: true });
    const { uid, mode } = await stat(directory);
    return uid === process.geteuid?.() && (mode & WRITABLE_BY_OTHERS) === 0;
  } catch (error) {
    assertSystemFault(error);
    return false; // a full disk, say: then every call is answered by Node
  }
}

/** Throws what is not the file system's refusal: a spool that cannot be used is no fault, a mistake of ours is. */
export function assertSystemFault(error: unknown): void {
  if (!(error instanceof Error && 'syscall' in error)) throw error;
}
