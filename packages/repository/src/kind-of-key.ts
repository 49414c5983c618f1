/** What lies under a key, told from the key alone. @packageDocumentation */

/**
 * Kinds of objects. `state` are tombstones, holds and known damage; `root` what a repository begins with: its identity,
 * epochs, keys and signers.
 */
export type KeyKind =
  | 'root'
  | 'wal'
  | 'part'
  | 'history'
  | 'index'
  | 'intent'
  | 'pack'
  | 'manifest'
  | 'backup'
  | 'chain'
  | 'state'
  | 'lease'
  | 'unknown';

const KINDS: ReadonlyArray<readonly [RegExp, KeyKind]> = [
  [/^keyframe\.json$|^keys\/|^signers\/|^clusters\/[^/]+\/epochs\//, 'root'],
  [/^leases\//, 'lease'],
  [/^clusters\/[^/]+\/(?:tombstones|holds|damage)\//, 'state'],
  [/^clusters\/[^/]+\/\d+\/wal\/[0-9A-F]{8}\.history$/, 'history'],
  [/^clusters\/[^/]+\/\d+\/wal\/.+\.parts\//, 'part'],
  [/^clusters\/[^/]+\/\d+\/wal\//, 'wal'],
  [/^clusters\/[^/]+\/\d+\/index\//, 'index'],
  [/^clusters\/[^/]+\/\d+\/chain\//, 'chain'],
  [/^clusters\/[^/]+\/\d+\/backups\/[^/]+\/pack-\d+$/, 'pack'],
  [/^clusters\/[^/]+\/\d+\/backups\/[^/]+\/manifest$/, 'manifest'],
  [/^clusters\/[^/]+\/\d+\/backups\/[^/]+\/backup\.json$/, 'backup'],
  [/^clusters\/[^/]+\/\d+\/backups\/[^/]+\/intent$/, 'intent'],
];

/** The kind of the object under `key`. */
export function kindOfKey(key: string): KeyKind {
  return KINDS.find(([pattern]) => pattern.test(key))?.[1] ?? 'unknown';
}

const LOCKED: ReadonlySet<KeyKind> = new Set(['root', 'wal', 'history', 'pack', 'manifest', 'chain']);

/**
 * Whether an object is locked when it is written to a repository that is `immutable`: what a recovery needs. Leases, intents,
 * streamed parts and state go in the ordinary course of things; an index is made again from the WAL; a backup's record is
 * locked once nothing can make it step back.
 */
export function isLockedWhenWritten(key: string): boolean {
  return LOCKED.has(kindOfKey(key));
}

/** Whether the oldest version of an object is the one that counts: of everything that is locked sooner or later. */
export function isReadByVersion(key: string): boolean {
  return isLockedWhenWritten(key) || kindOfKey(key) === 'backup';
}
