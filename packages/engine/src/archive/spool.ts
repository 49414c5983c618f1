/**
 * Markers by which the shell wrapper of archive_command answers without starting Node: "this file is durable in the repository".
 *
 * A marker is believed only in the run of the postmaster in which it was made, so it can tell nothing about a file that
 * another server, a restored copy or a later run has under the same name, and only by the very command that the marker names:
 * archive_command may be set to another repository while the server runs. The wrapper removes a marker before it says so.
 * @packageDocumentation
 */
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseWalFileName } from '@keyframe/contracts';
import { clearFetched, FETCHED_DIRECTORY } from './fetch-spool.ts';
import { assertSystemFault, isPrivateDirectory, type ServerRun, serverRun, type SpoolOptions } from './spool-run.ts';

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
  const run = await serverRun(dataDirectory);
  if (run === undefined || !(await isPrivateDirectory(directory))) return undefined;
  const names = new Set<string>();
  await clearFetched(dataDirectory, name);
  for (const found of await readdir(directory)) {
    if (found === FETCHED_DIRECTORY) continue;
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

async function isOfRun(path: string, { words }: ServerRun, command: string): Promise<boolean> {
  if (parseWalFileName(path.slice(path.lastIndexOf('/') + 1)) === undefined) return false;
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.startsWith(`${words} `) && text.endsWith(`\n${command}\n`);
}
