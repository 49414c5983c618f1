import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Abortable, hasCode, KeyframeError } from '@keyframe/contracts';
import { readControlFile } from '../control/control-file.ts';
import { fileFault, isAbsent } from './file-fault.ts';
import type { LocalEntry, LocalFile } from './types.ts';

/** Copied last, and never torn. */
export const CONTROL_FILE = 'global/pg_control';
/** The server rewrites its control file in one go: a torn copy is followed by a whole one. */
const CONTROL_FILE_ATTEMPTS = 50;
const CONTROL_FILE_PAUSE_MS = 20;

/**
 * Opens a file of {@link LocalBackup.entries} for reading; `undefined` when the server has removed it meanwhile, for then
 * replay removes it too. Needs nothing but the entry, so any thread may call it.
 * @throws {KeyframeError} ACCESS_DENIED, INVALID_OPTION for an entry that is no file, CORRUPT for a damaged control file
 */
export async function openLocalFile(entry: LocalEntry, options: Abortable = {}): Promise<LocalFile | undefined> {
  const { source } = entry;
  if (source === undefined)
    throw new KeyframeError('INVALID_OPTION', `${entry.path} is a ${entry.type} and has no content`, {
      hint: 'Open only entries of type file.',
    });
  options.signal?.throwIfAborted();
  if (entry.path === CONTROL_FILE) return memoryFile(entry, await readControl(source, options));
  let handle: FileHandle;
  try {
    // A link in place of a file would lead out of the data directory.
    handle = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw fileFault(error, source);
  }
  try {
    const { size, mtimeMs, mode } = await handle.stat();
    const facts = { sizeBytes: size, modifiedAtSeconds: Math.floor(mtimeMs / 1000), mode: mode & 0o7777 };
    return new OpenFile(handle, { ...factsOf(entry), ...facts }, source);
  } catch (error) {
    await handle.close();
    throw fileFault(error, source);
  }
}

function factsOf({ path, type, mode, modifiedAtSeconds, sizeBytes }: LocalEntry): LocalFile['entry'] {
  return { path, type, mode, modifiedAtSeconds, sizeBytes };
}

class OpenFile implements LocalFile {
  readonly entry: LocalFile['entry'];
  readonly #handle: FileHandle;
  readonly #source: string;
  #closed: Promise<void> | undefined;

  constructor(handle: FileHandle, entry: LocalFile['entry'], source: string) {
    this.#handle = handle;
    this.entry = entry;
    this.#source = source;
  }

  async read(into: Uint8Array, offset: number, { signal }: Abortable = {}): Promise<number> {
    const wanted = Math.max(0, Math.min(into.length, this.entry.sizeBytes - offset));
    let done = 0;
    while (done < wanted) {
      signal?.throwIfAborted();
      try {
        const { bytesRead } = await this.#handle.read(into, done, wanted - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      } catch (error) {
        throw fileFault(error, this.#source);
      }
    }
    into.fill(0, done, wanted);
    return wanted;
  }

  close(): Promise<void> {
    this.#closed ??= this.#handle.close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** @throws {KeyframeError} CORRUPT when no attempt gave a control file that matches its checksum */
async function readControl(source: string, { signal }: Abortable): Promise<Buffer> {
  for (let attempt = 1; ; attempt += 1) {
    const content = await readWhole(source);
    try {
      readControlFile(content);
      return content;
    } catch (error) {
      if (!hasCode(error, 'CORRUPT') || attempt === CONTROL_FILE_ATTEMPTS) throw error;
      await sleep(CONTROL_FILE_PAUSE_MS, undefined, { signal });
    }
  }
}

async function readWhole(source: string): Promise<Buffer> {
  try {
    await using handle = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW);
    return await handle.readFile();
  } catch (error) {
    throw fileFault(error, source);
  }
}

function memoryFile(entry: LocalEntry, content: Buffer): LocalFile {
  const close = (): Promise<void> => Promise.resolve();
  return {
    entry: { ...factsOf(entry), sizeBytes: content.length },
    read: (into, offset) => Promise.resolve(content.copy(into, 0, offset)),
    close,
    [Symbol.asyncDispose]: close,
  };
}
