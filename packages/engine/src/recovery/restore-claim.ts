/** Whose restore a target directory is: two of them in one directory would leave a mixture that starts. @packageDocumentation */
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyframeError } from '@keyframe/contracts';
import type { LeaseHolder } from '@keyframe/repository';
import { holderState, thisProcess } from '../backup/holder.ts';

/** Lies in a target from the first byte of a restore to the last: such a directory may be restored over again. */
export const RESTORE_MARKER = '.keyframe-restore-incomplete';

/** One restore and the process that runs it. */
export interface RestoreClaim extends LeaseHolder {
  readonly token: string;
}

/** A claim for this process. */
export async function newClaim(): Promise<RestoreClaim> {
  return { ...(await thisProcess('keyframe restore')), token: randomUUID() };
}

/** Puts the claim into the directory, over that of an earlier restore. */
export async function writeClaim(directory: string, claim: RestoreClaim): Promise<void> {
  const text = `An unfinished restore by Keyframe: run it again.\n${JSON.stringify(claim)}\n`;
  await writeFile(join(directory, RESTORE_MARKER), text, { flush: true });
}

/** @throws {KeyframeError} TARGET_DIRECTORY when another process restores into the directory right now. */
export async function refuseRunningRestore(directory: string): Promise<void> {
  const other = await readClaim(directory);
  if (other === undefined) return;
  const self = await thisProcess('keyframe restore');
  const isHere = other.host === self.host && other.bootId === self.bootId && other.pid !== self.pid;
  if (!isHere || (await holderState(other)) !== 'alive') return;
  throw new KeyframeError('TARGET_DIRECTORY', `process ${other.pid} is restoring into ${directory}`, {
    hint: `Choose another directory with \`--to\`, wait for that restore, or end process ${other.pid} first.`,
    details: { directory, pid: other.pid },
  });
}

/** @throws {KeyframeError} TARGET_DIRECTORY when another restore has taken the directory since. */
export async function assertClaimed(directory: string, claim: RestoreClaim): Promise<void> {
  const found = await readClaim(directory);
  if (found?.token === claim.token) return;
  throw new KeyframeError('TARGET_DIRECTORY', `another restore has taken ${directory} meanwhile`, {
    hint: 'Let that restore end, or restore again into a directory of its own with `--to`.',
    details: { directory },
  });
}

/** `undefined` where there is none, or a cut one. */
async function readClaim(directory: string): Promise<RestoreClaim | undefined> {
  const text = await readFile(join(directory, RESTORE_MARKER), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const [, line] = text.split('\n');
  try {
    return line === undefined || line === '' ? undefined : (JSON.parse(line) as RestoreClaim);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
