import { access, constants, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type AdapterErrorCode, KeyframeError } from '@keyframe/contracts';

interface Meaning {
  readonly code: AdapterErrorCode;
  readonly text: string;
  readonly hint?: (place: string) => string | Promise<string>;
}

const full: Meaning = {
  code: 'UNAVAILABLE',
  text: "the store's disk is full",
  hint: (place) => `Free space on the file system of '${place}' (df -h ${place}) or enlarge it.`,
};
const denied: Meaning = { code: 'ACCESS_DENIED', text: 'permission denied', hint: describeRights };
const exhausted: Meaning = {
  code: 'UNAVAILABLE',
  text: 'too many open files',
  hint: () => 'Raise the limit of open files (ulimit -n, or LimitNOFILE= of the service).',
};

const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOENT: { code: 'NOT_FOUND', text: 'not found' },
  ENOTDIR: { code: 'NOT_FOUND', text: 'not found' },
  EISDIR: { code: 'NOT_FOUND', text: 'not found' },
  EEXIST: { code: 'ALREADY_EXISTS', text: 'already exists' },
  EACCES: denied,
  EPERM: denied,
  EROFS: {
    code: 'ACCESS_DENIED',
    text: "the store's file system is read-only",
    hint: (place) =>
      `Mount the file system of '${place}' read-write (mount -o remount,rw) and look for disk faults in dmesg.`,
  },
  ELOOP: {
    code: 'ACCESS_DENIED',
    text: 'a symbolic link stands in its place',
    hint: (place) => `Replace the symbolic link in '${place}' by what it points to: the store follows none.`,
  },
  EXDEV: {
    code: 'UNSUPPORTED',
    text: "its place is on another file system than the store's staging directory",
    hint: (place) => `Keep everything below the store's directory on one file system: '${place}' is on another.`,
  },
  ENAMETOOLONG: { code: 'INVALID_OPTION', text: 'the key is too long for the file system' },
  ENOSPC: full,
  EDQUOT: full,
  EMFILE: exhausted,
  ENFILE: exhausted,
};

/** The code of a system error; `undefined` for anything else, a {@link KeyframeError} included. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('errno' in error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** For `promise.catch(ignoringSystem('ENOENT'))`: those faults become `undefined`, every other stays a fault. */
export function ignoringSystem(...codes: readonly string[]): (error: unknown) => undefined {
  return (error) => {
    const code = systemCode(error);
    if (code === undefined || !codes.includes(code)) throw error;
  };
}

/** The system error for a symbolic link that stands where none may. */
export function symbolicLink(path: string): Error {
  return Object.assign(new Error(`symbolic link on the way to ${path}`), { code: 'ELOOP', errno: -40 });
}

/** What a place on disk is to the reader of an error: the object key and the path behind it. */
export interface Place {
  readonly key: string;
  readonly path: string;
}

/** Runs `action`, turning a system error into a {@link KeyframeError} about `place`. Anything else passes through. */
export async function translated<T>(place: Place, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw await translate(place, cause);
  }
}

/** The {@link KeyframeError} for a system error; any other fault as it is. */
export async function translate({ key, path }: Place, cause: unknown): Promise<unknown> {
  const system = systemCode(cause);
  if (system === undefined) return cause;
  const unknown: Meaning = { code: 'UNAVAILABLE', text: `the file system answered ${system}` };
  const meaning = MEANINGS[system] ?? unknown;
  const { code, text, hint } = meaning;
  return new KeyframeError(code, `object '${key}': ${text}`, {
    cause,
    hint: await hint?.(await placeOf(meaning, key, path)),
    details: { key, path, system },
  });
}

/** What a hint is about. Of what is there and denied, that itself: the rights of its directory may be as they should. */
async function placeOf(meaning: Meaning, key: string, path: string): Promise<string> {
  if (meaning === full) return storeDirectory(key, path);
  const isClosed =
    meaning === denied &&
    (await access(path, constants.R_OK).then(
      () => false,
      (error: unknown) => systemCode(error) === 'EACCES',
    ));
  const isThere = isClosed && (await stat(path).catch(() => undefined)) !== undefined;
  return isThere ? path : nearestDirectory(path);
}

/** That of the store, which is there when the reader looks: what failed may have removed the directories that it made. */
async function storeDirectory(key: string, path: string): Promise<string> {
  return path.endsWith(`/${key}`) ? path.slice(0, -key.length - 1) : nearestDirectory(path);
}

/** The deepest directory above `path` that we can look at. */
async function nearestDirectory(path: string): Promise<string> {
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) {
    const found = await stat(at).catch((error: unknown) => {
      if (systemCode(error) === undefined) throw error;
    });
    if (found?.isDirectory() === true) return at;
  }
  return '/';
}

async function describeRights(place: string): Promise<string> {
  const { uid, gid, mode } = await stat(place);
  const octal = (mode & 0o7777).toString(8).padStart(4, '0');
  const facts = `owner ${uid}:${gid}, mode ${octal}, we are uid ${process.geteuid?.() ?? 'unknown'}`;
  return `Run Keyframe as the owner of '${place}' or give it the right by chown or chmod (${facts}).`;
}

/** A new or removed name is durable only once its directory is synced, see fsync(2). */
export async function syncDirectory(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}
