import { KeyframeError } from '@keyframe/contracts';

const PATH_KEYS = ['{ "Path": ', '{ "Encoded-Path": '];

/**
 * A file that got lost between the server and the packs would be missed only after a restore. The server's manifest names
 * every file it sent, so the two must agree in number.
 * @throws {KeyframeError} CORRUPT
 * @see https://www.postgresql.org/docs/18/backup-manifest-files.html
 */
export function assertAllFilesArrived(manifest: Buffer, files: number): void {
  const named = PATH_KEYS.reduce((sum, key) => sum + count(manifest, key), 0);
  if (named === files) return;
  throw new KeyframeError('CORRUPT', `the server's manifest names ${named} files, ${files} arrived`, {
    hint: 'Run `keyframe backup` again; if it repeats, check what stands between Keyframe and PostgreSQL (a pooler?).',
    details: { named, files },
  });
}

/** The manifest of many tables is large, so its bytes are searched as they are. */
function count(bytes: Buffer, text: string): number {
  let found = 0;
  for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + text.length)) found += 1;
  return found;
}
