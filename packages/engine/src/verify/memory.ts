/** What was checked, when, and as which object: a file of lines that only grows, so that a kill loses the last ones at most. @packageDocumentation */
import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** How much of an object was read: its ends, every byte held against hashes for want of a key, or every byte decoded. */
export type Level = 'outline' | 'hashes' | 'content';

/** What is remembered of an object. */
export interface Checked {
  readonly root: string;
  readonly sizeBytes: number;
  readonly level: Level;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** Which copy of it that was, where the store tells. */
  readonly stamp?: number | undefined;
}

/** Remembers what was checked. Nothing that it says is believed of an object with another end or another size. */
export interface VerifyMemory {
  get(key: string): Checked | undefined;
  set(key: string, checked: Checked): void;
  /** What is wrong now was right no more than until now. */
  forget(key: string): void;
  /** Settles when all is in the file. Later calls of `set` are written later. */
  flush(): Promise<void>;
  /** Flushes, and rewrites the file without what is superseded or not in `keys` any more. */
  close(isNeeded: (key: string) => boolean): Promise<void>;
}

const LINES_PER_WRITE = 16;
/** Dead lines that are not worth a rewriting. */
const SPARE_LINES = 1000;

/** Opens the memory in that file; what of it cannot be read is forgotten. */
export async function openMemory(file: string): Promise<VerifyMemory> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  return new FileMemory(file, text);
}

class FileMemory implements VerifyMemory {
  readonly #file: string;
  readonly #known = new Map<string, Checked>();
  #waiting: string[] = [];
  #lines = 0;
  #written: Promise<void> = Promise.resolve();

  constructor(file: string, text: string) {
    this.#file = file;
    for (const line of text.split('\n')) {
      const entry = parseLine(line);
      if (entry?.checked !== undefined) this.#known.set(entry.key, entry.checked);
      else if (entry !== undefined) this.#known.delete(entry.key);
      if (line !== '') this.#lines += 1;
    }
    // A line that a kill cut off must not run into the next one.
    if (text !== '' && !text.endsWith('\n')) this.#waiting.push('');
  }

  get(key: string): Checked | undefined {
    return this.#known.get(key);
  }

  set(key: string, checked: Checked): void {
    this.#known.set(key, checked);
    this.#append(formatLine(key, checked));
  }

  forget(key: string): void {
    if (this.#known.delete(key)) this.#append(JSON.stringify([key]));
  }

  #append(line: string): void {
    this.#waiting.push(line);
    this.#lines += 1;
    // Failing, it is told by the next flush.
    if (this.#waiting.length >= LINES_PER_WRITE) this.#write().catch(() => undefined);
  }

  async flush(): Promise<void> {
    await this.#write();
  }

  async close(isNeeded: (key: string) => boolean): Promise<void> {
    await this.flush();
    const kept = [...this.#known].filter(([key]) => isNeeded(key));
    if (this.#lines - kept.length < SPARE_LINES) return;
    const fresh = `${this.#file}.${process.pid}`;
    await writeFile(fresh, kept.map(([key, checked]) => `${formatLine(key, checked)}\n`).join(''), { mode: 0o600 });
    await rename(fresh, this.#file);
  }

  #write(): Promise<void> {
    const lines = this.#waiting;
    this.#waiting = [];
    if (lines.length > 0)
      this.#written = this.#written.then(() =>
        appendFile(this.#file, lines.map((line) => `${line}\n`).join(''), { mode: 0o600 }),
      );
    return this.#written;
  }
}

function formatLine(key: string, { root, sizeBytes, level, atMs, stamp }: Checked): string {
  return JSON.stringify([key, root, sizeBytes, level, atMs, ...(stamp === undefined ? [] : [stamp])]);
}

/** A line with a key alone takes back what an earlier one says. */
function parseLine(line: string): { readonly key: string; readonly checked: Checked | undefined } | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  const [key, root, sizeBytes, level, atMs, stamp] = Array.isArray(parsed) ? (parsed as unknown[]) : [];
  if (typeof key !== 'string') return undefined;
  if (root === undefined) return { key, checked: undefined };
  const isRight =
    typeof root === 'string' && typeof sizeBytes === 'number' && isLevel(level) && typeof atMs === 'number';
  if (!isRight) return undefined;
  return { key, checked: { root, sizeBytes, level, atMs, ...(typeof stamp === 'number' ? { stamp } : {}) } };
}

function isLevel(value: unknown): value is Level {
  return value === 'outline' || value === 'hashes' || value === 'content';
}
