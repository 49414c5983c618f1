import { resolve } from 'node:path';
import { KeyframeError } from '@keyframe/contracts';
import type { BackupRecord } from '@keyframe/repository';

/**
 * Reads `OID=DIR` and `OLDDIR=NEWDIR` pairs; in a directory `\=` stands for an equals sign, as in pg_basebackup's -T.
 * @throws {KeyframeError} INVALID_OPTION
 */
export function parseTablespaceMap(
  pairs: readonly string[],
  backup: Pick<BackupRecord, 'tablespaces' | 'label'>,
): Map<number, string> {
  const map = new Map<number, string>();
  for (const pair of pairs) {
    const [from, to, ...more] = pair.split(/(?<!\\)=/).map((part) => part.replaceAll('\\=', '='));
    if (from === undefined || to === undefined || more.length > 0 || !to.startsWith('/'))
      throw new KeyframeError('INVALID_OPTION', `--tablespace ${pair} is not OID=DIR with an absolute directory`, {
        hint: 'Write --tablespace 16400=/srv/ts1; `keyframe show <label>` lists the tablespaces.',
      });
    const found = backup.tablespaces.find(({ oid, location }) => String(oid) === from || location === from);
    if (found === undefined)
      throw new KeyframeError('INVALID_OPTION', `backup ${backup.label} has no tablespace ${from}`, {
        hint: `Name one of its own: ${backup.tablespaces.map(({ oid, location }) => `${oid} (${location})`).join(', ') || 'it has none'}.`,
      });
    map.set(found.oid, resolve(to));
  }
  return map;
}
