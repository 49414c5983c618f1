import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyframeError } from '@keyframe/contracts';

/** What is still to be done to one store. */
export type JournalTask = 'copy' | 'replace' | 'repair' | 'delete';

/** One line of the journal: a task for some objects of one store. */
export interface JournalEntry {
  readonly task: JournalTask;
  readonly keys: readonly string[];
  /** Name of its file, which sorts by time. */
  readonly name: string;
}

/** Where what a store lacks is written down, so that it survives a crash. Local to a host; listing the stores tells the same. */
export interface Journal {
  /** Durable when it resolves. */
  add(store: string, task: JournalTask, keys: readonly string[]): Promise<JournalEntry>;
  /** All entries for a store, oldest first. */
  entries(store: string): Promise<JournalEntry[]>;
  /** How many there are, without reading them. */
  count(store: string): Promise<number>;
  done(store: string, entry: JournalEntry): Promise<void>;
}

const FILE = /^[0-9a-z]+-[0-9a-f]+\.(copy|replace|repair|delete)$/u;

/**
 * A journal of one file per entry: writers in several processes need no lock, and an entry that was cut by a crash was
 * never relied on.
 */
export function openJournal(directory: string): Journal {
  const placeOf = (store: string): string => join(directory, store);
  let last = 0;
  const nextName = (task: JournalTask): string => {
    last = Math.max(Date.now() * 1000, last + 1);
    return `${last.toString(36).padStart(11, '0')}-${randomBytes(6).toString('hex')}.${task}`;
  };
  const names = async (store: string): Promise<string[]> => {
    const found = await readdir(placeOf(store)).catch(ignoringAbsence);
    return (found ?? []).filter((name) => FILE.test(name)).toSorted();
  };
  return {
    async add(store, task, keys) {
      const place = placeOf(store);
      const name = nextName(task);
      try {
        await mkdir(place, { recursive: true, mode: 0o700 });
        // Under its own name only when it is whole: a reader takes what is cut for the rest of a crash, and removes it.
        const unfinished = join(place, `${name}.tmp`);
        await using file = await open(unfinished, 'wx', 0o600);
        await file.writeFile(JSON.stringify(keys));
        await file.sync();
        await rename(unfinished, join(place, name));
        await using parent = await open(place, 'r');
        await parent.sync();
      } catch (error) {
        throw unwritable(place, error);
      }
      return { task, keys, name };
    },
    async entries(store) {
      const found = await names(store);
      const entries: JournalEntry[] = [];
      for (const name of found) {
        const text = await readFile(join(placeOf(store), name), 'utf8').catch(ignoringAbsence);
        const keys = text === undefined ? undefined : parseKeys(text);
        if (keys !== undefined) entries.push({ task: taskOf(name), keys, name });
        else await rm(join(placeOf(store), name), { force: true });
      }
      return entries;
    },
    count: async (store) => (await names(store)).length,
    done: (store, { name }) => rm(join(placeOf(store), name), { force: true }),
  };
}

/** A journal for one process only. */
export function memoryJournal(): Journal {
  const kept = new Map<string, JournalEntry[]>();
  let made = 0;
  const of = (store: string): JournalEntry[] => kept.get(store) ?? [];
  return {
    async add(store, task, keys) {
      const entry = { task, keys, name: String((made += 1)) };
      kept.set(store, [...of(store), entry]);
      return entry;
    },
    entries: async (store) => [...of(store)],
    count: async (store) => of(store).length,
    async done(store, { name }) {
      kept.set(
        store,
        of(store).filter((entry) => entry.name !== name),
      );
    },
  };
}

function taskOf(name: string): JournalTask {
  return (FILE.exec(name)?.[1] ?? 'copy') as JournalTask;
}

function parseKeys(text: string): readonly string[] | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed.filter((key) => typeof key === 'string') : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function ignoringAbsence(error: unknown): undefined {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
}

function unwritable(place: string, cause: unknown): KeyframeError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return new KeyframeError('ACCESS_DENIED', `the journal of mirrors in ${place} cannot be written (${code})`, {
    cause,
    hint: 'Set `stateDirectory` to a directory that the user who runs Keyframe may write.',
    details: { directory: place },
  });
}
