import { createHash } from 'node:crypto';
import { formatLsn, type Lsn, type TimelineId } from '@keyframe/contracts';

/** A file as a manifest lists it: no directory, no link. */
export interface ManifestFile {
  /** Relative to the data directory; of a tablespace `pg_tblspc/<oid>/…`. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedAtSeconds: number;
  /** CRC-32C of its content, as `crc32c` gives it. Without it, readers compare only the size. */
  readonly crc32c?: number | undefined;
}

/** WAL that a backup needs to become consistent. */
export interface WalRange {
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
}

/** What a manifest says about the backup as a whole. */
export interface ManifestFacts {
  readonly systemIdentifier: string;
  /** Major version of the server. Before 17 a manifest does not name the system. */
  readonly major: number;
  /** The last one ends where the backup is consistent; several only when a standby changed its timeline. */
  readonly walRanges: readonly WalRange[];
}

const PIECE_CHARACTERS = 64 << 10;

/**
 * Writes a backup manifest that UPLOAD_MANIFEST accepts and pg_verifybackup reads, in pieces, as the files come.
 * @see https://www.postgresql.org/docs/18/backup-manifest-format.html
 */
export async function* writeBackupManifest(
  files: Iterable<ManifestFile> | AsyncIterable<ManifestFile>,
  { systemIdentifier, major, walRanges }: ManifestFacts,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  const piece = (text: string): Buffer => {
    const bytes = Buffer.from(text);
    hash.update(bytes);
    return bytes;
  };
  // A number beyond what JavaScript can hold, so it is written as text.
  const system = major >= 17 ? `"System-Identifier": ${BigInt(systemIdentifier)},\n` : '';
  let text = `{ "PostgreSQL-Backup-Manifest-Version": ${major >= 17 ? 2 : 1},\n${system}"Files": [`;
  let separator = '\n';
  for await (const file of files) {
    text += separator + fileLine(file);
    separator = ',\n';
    if (text.length < PIECE_CHARACTERS) continue;
    yield piece(text);
    text = '';
  }
  yield piece(`${text}\n],\n"WAL-Ranges": [\n${walRanges.map(rangeLine).join(',\n')}\n],\n`);
  yield Buffer.from(`"Manifest-Checksum": "${hash.digest('hex')}"}\n`);
}

function fileLine({ path, sizeBytes, modifiedAtSeconds, crc32c }: ManifestFile): string {
  const modified = new Date(modifiedAtSeconds * 1000).toISOString().replace('T', ' ').slice(0, 19);
  const facts = `{ "Path": ${JSON.stringify(path)}, "Size": ${sizeBytes}, "Last-Modified": "${modified} GMT"`;
  if (crc32c === undefined) return `${facts} }`;
  return `${facts}, "Checksum-Algorithm": "CRC32C", "Checksum": "${checksumText(crc32c)}" }`;
}

/** The bytes as they lie in memory on the machines PostgreSQL's control file is read for, the lowest first. */
function checksumText(crc32c: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc32c >>> 0);
  return bytes.toString('hex');
}

function rangeLine({ timeline, startLsn, endLsn }: WalRange): string {
  const [start, end] = [formatLsn(startLsn), formatLsn(endLsn)];
  return `{ "Timeline": ${timeline}, "Start-LSN": "${start}", "End-LSN": "${end}" }`;
}
