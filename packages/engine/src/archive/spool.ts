/**
 * Markers by which the shell wrapper of archive_command answers without starting Node: "this file is durable in the repository".
 *
 * A marker is believed only in the run of the postmaster in which it was made, so it can tell nothing about a file that
 * another server, a restored copy or a later run has under the same name, and only by the very command that the marker names:
 * archive_command may be set to another repository while the server runs. The wrapper removes a marker before it says so.
 * @packageDocumentation
 */
import { readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseWalFileName } from '@keyframe/contracts';
import { isRunning } from '@keyframe/postgres';
import { clearFetched, FETCHED_DIRECTORY } from './fetch-spool.ts';
import { assertSystemFault, isPrivateDirectory, type ServerRun, serverRun, type SpoolOptions } from './spool-run.ts';

/** The markers of one data directory, and the claim of the process that makes them. */
export interface Spool {
  /** Markers that were not taken yet, when it was looked last. */
  readonly size: number;
  /** Says that the file is durable. False for want of space or rights, or when another took over: then the wrapper asks Node. */
  mark(name: string, systemIdentifier: string): Promise<boolean>;
  has(name: string): boolean;
  /** Looks which markers were taken. */
  refresh(): Promise<void>;
  /** The file that the wrapper waits for. */
  asked(): Promise<string | undefined>;
  /** From now on the wrapper waits for this process to mark what PostgreSQL asks for. Whoever had claimed it before ends. */
  claim(): Promise<boolean>;
  /** False once the server has ended, or another process took over. */
  isWanted(): Promise<boolean>;
  /** Takes the claim back, unless another process took over. */
  release(): Promise<void>;
}

/** Names in the spool that the wrapper knows, too. */
const CLAIM = 'pushing';
const ASKED = 'asked';

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
  await clearFetched(dataDirectory, name);
  // Markers too: whether the wrapper believes one is its affair, and here it would be taken for an answer.
  for (const found of await readdir(directory))
    if (found !== FETCHED_DIRECTORY && found !== CLAIM) await rm(join(directory, found), { force: true });
  return new MarkerSpool({ dataDirectory, directory, run, command });
}

interface Opened {
  readonly dataDirectory: string;
  readonly directory: string;
  readonly run: ServerRun;
  readonly command: string;
}

class MarkerSpool implements Spool {
  readonly #at: Opened;
  readonly #names = new Set<string>();
  /** Two lines that the wrapper compares, and the process it waits for. */
  readonly #claim: string;
  /**
   * What is written here is as old as this process: it knows the configuration as it was when it began, and the wrapper
   * believes nothing that is older than the config file.
   */
  readonly #since = new Date(performance.timeOrigin);

  constructor(at: Opened) {
    this.#at = at;
    this.#claim = `${at.run.words} ${at.run.dataDirectory}\n${at.command}\n${process.pid}\n`;
  }

  get size(): number {
    return this.#names.size;
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  async mark(name: string, systemIdentifier: string): Promise<boolean> {
    const { run, command } = this.#at;
    const text = `${run.words} ${systemIdentifier} ${name} ${run.dataDirectory}\n${command}\n`;
    const isMarked = (await this.#isHeld()) && (await this.#write(name, text));
    if (isMarked) this.#names.add(name);
    return isMarked;
  }

  async refresh(): Promise<void> {
    const found = new Set(await readdir(this.#at.directory).catch(none));
    for (const name of this.#names) if (!found.has(name)) this.#names.delete(name);
  }

  async asked(): Promise<string | undefined> {
    const text = await readFile(join(this.#at.directory, ASKED), 'utf8').catch(none);
    const name = text.toString().trim();
    return parseWalFileName(name)?.name;
  }

  async claim(): Promise<boolean> {
    return this.#write(CLAIM, this.#claim);
  }

  async isWanted(): Promise<boolean> {
    const { dataDirectory, run } = this.#at;
    const now = await serverRun(dataDirectory);
    const lives = now?.words === run.words && (await isRunning(dataDirectory)) !== undefined;
    return lives && (await this.#isHeld());
  }

  async release(): Promise<void> {
    if (await this.#isHeld()) await rm(join(this.#at.directory, CLAIM), { force: true });
  }

  async #isHeld(): Promise<boolean> {
    const found = await readFile(join(this.#at.directory, CLAIM), 'utf8').catch(none);
    return found === this.#claim;
  }

  /** No space, no rights: then nothing is there, and the next call finds out from the repository. */
  async #write(name: string, text: string): Promise<boolean> {
    const path = join(this.#at.directory, name);
    const temporary = `${path}.${process.pid}.tmp`;
    try {
      await writeFile(temporary, text, { mode: 0o600 });
      await utimes(temporary, this.#since, this.#since);
      await rename(temporary, path);
      return true;
    } catch (error) {
      assertSystemFault(error);
      await rm(temporary, { force: true });
      return false;
    }
  }
}

/** What cannot be read says nothing. */
function none(error: unknown): [] {
  assertSystemFault(error);
  return [];
}
