import { KeyframeError } from '@keyframe/contracts';
import type { TarHeader } from './tar-header.ts';
import type { BackupEntry } from './types.ts';

/** A tablespace, the only place where a data directory has symlinks that the server sends as such. */
const TABLESPACE = /^pg_tblspc\/\d+$/;

/**
 * Where a member of an archive belongs in the data directory. `oid`: the archive is that tablespace's.
 * @throws {KeyframeError} CORRUPT for a name that is absolute, has an empty, `.` or `..` part, or links elsewhere.
 */
export function toBackupEntry(header: TarHeader, oid: number | undefined): BackupEntry {
  // The server marks directories and symlinks by a slash at the end, and begins those it makes up (pg_wal) by `./`.
  const name = header.name.replace(/^\.\//, '').replace(/\/$/, '');
  const plain = name.split('/').every((part) => part !== '' && part !== '.' && part !== '..') && !name.includes('\0');
  if (!plain) throw unsafe(`a member named ${JSON.stringify(header.name)}`);
  const path = oid === undefined ? name : `pg_tblspc/${oid}/${name}`;
  const { type, mode, modifiedAtSeconds, sizeBytes, linkName } = header;
  if (type !== 'symlink') return { path, type, mode, modifiedAtSeconds, sizeBytes };
  if (!TABLESPACE.test(path)) throw unsafe(`a symlink at ${JSON.stringify(path)}`);
  return { path, type, mode, modifiedAtSeconds, sizeBytes, linkTarget: linkName };
}

function unsafe(what: string): KeyframeError {
  return new KeyframeError('CORRUPT', `the base backup's archive has ${what}`, {
    hint: 'Check that the source url is your own PostgreSQL: no server of that kind sends such a name.',
  });
}
