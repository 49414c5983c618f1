import { createHash, type Hash } from 'node:crypto';
import { formatLsn, type Lsn, type TimelineId } from '@keyframe/contracts';

/** A file as a manifest lists it: no directory, no link. */
export interface ManifestFile {
  /** Relative to the data directory; of a tablespace `pg_tblspc/<oid>/…`. */
  readonly path: string;
  /** The bytes of the path where they are not UTF-8. */
  readonly rawPath?: Uint8Array | undefined;
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

/** Of which cluster a manifest is. */
export interface ManifestCluster {
  readonly systemIdentifier: string;
  /** Major version of the server. Before 17 a manifest does not name the system. */
  readonly major: number;
}

const PIECE_CHARACTERS = 64 << 10;

/**
 * A backup manifest on its way: for a backup whose end is known only when its files are. UPLOAD_MANIFEST accepts it and
 * pg_verifybackup reads it.
 * @see https://www.postgresql.org/docs/18/backup-manifest-format.html
 */
export class ManifestWriter {
  readonly #hash: Hash = createHash('sha256');
  #text: string;
  #separator = '\n';

  constructor({ systemIdentifier, major }: ManifestCluster) {
    // A number beyond what JavaScript can hold, so it is written as text.
    const system = major >= 17 ? `"System-Identifier": ${BigInt(systemIdentifier)},\n` : '';
    this.#text = `{ "PostgreSQL-Backup-Manifest-Version": ${major >= 17 ? 2 : 1},\n${system}"Files": [`;
  }

  /** Adds a file. Now and then there is a piece of the manifest to be put behind the earlier ones. */
  add(file: ManifestFile): Buffer | undefined {
    this.#text += this.#separator + fileLine(file);
    this.#separator = ',\n';
    return this.#text.length < PIECE_CHARACTERS ? undefined : this.#take();
  }

  /** The last piece. Of the ranges the last one ends where the backup is consistent. */
  end(walRanges: readonly WalRange[]): Buffer {
    this.#text += `\n],\n"WAL-Ranges": [\n${walRanges.map(rangeLine).join(',\n')}\n],\n`;
    const rest = this.#take();
    return Buffer.concat([rest, Buffer.from(`"Manifest-Checksum": "${this.#hash.digest('hex')}"}\n`)]);
  }

  #take(): Buffer {
    const piece = Buffer.from(this.#text);
    this.#hash.update(piece);
    this.#text = '';
    return piece;
  }
}

/** Writes the manifest of a backup that exists, piece by piece as its files come. */
export async function* writeBackupManifest(
  files: Iterable<ManifestFile> | AsyncIterable<ManifestFile>,
  { walRanges, ...cluster }: ManifestCluster & { readonly walRanges: readonly WalRange[] },
): AsyncGenerator<Buffer> {
  const writer = new ManifestWriter(cluster);
  for await (const file of files) {
    const piece = writer.add(file);
    if (piece !== undefined) yield piece;
  }
  yield writer.end(walRanges);
}

function fileLine({ path, rawPath, sizeBytes, modifiedAtSeconds, crc32c }: ManifestFile): string {
  const name =
    rawPath === undefined
      ? `"Path": ${JSON.stringify(path)}`
      : `"Encoded-Path": "${Buffer.from(rawPath).toString('hex')}"`;
  const modified = new Date(modifiedAtSeconds * 1000).toISOString().replace('T', ' ').slice(0, 19);
  const facts = `{ ${name}, "Size": ${sizeBytes}, "Last-Modified": "${modified} GMT"`;
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
