/**
 * `backup_manifest` as PostgreSQL writes it, for backups that no server has one for: read from files, or from changed blocks.
 * @see https://www.postgresql.org/docs/18/backup-manifest-format.html
 * @packageDocumentation
 */
import { createHash, type Hash } from 'node:crypto';
import { formatLsn, type Lsn, type TimelineId } from '@keyframe/contracts';

/** A file as the manifest names it. */
export interface ListedFile {
  readonly path: string;
  /** The path's bytes when they are not valid UTF-8. */
  readonly rawPath?: Uint8Array | undefined;
  readonly sizeBytes: number;
  readonly modifiedAtSeconds: number;
}

/** Of which cluster, and which WAL a restore of it needs. */
export interface ListedBackup {
  readonly postgresVersion: number;
  readonly systemIdentifier: string;
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
}

/** From this version on the manifest names the system identifier. */
const SECOND_VERSION = 170_000;
/** Files that a base backup's own manifest does not name. */
const UNNAMED: ReadonlySet<string> = new Set(['backup_manifest']);
const PIECE_CHARACTERS = 64 << 10;

/** Text of a manifest, piece by piece. Files come without checksums: Keyframe proves their bytes by its own. */
class ManifestText {
  readonly #hash: Hash = createHash('sha256');
  #text: string;
  #files = 0;

  constructor({ postgresVersion, systemIdentifier }: Pick<ListedBackup, 'postgresVersion' | 'systemIdentifier'>) {
    const second = postgresVersion >= SECOND_VERSION;
    const identifier = second ? `"System-Identifier": ${systemIdentifier},\n` : '';
    this.#text = `{ "PostgreSQL-Backup-Manifest-Version": ${second ? 2 : 1},\n${identifier}"Files": [`;
  }

  get pending(): number {
    return this.#text.length;
  }

  file({ path, rawPath, sizeBytes, modifiedAtSeconds }: ListedFile): void {
    if (UNNAMED.has(path)) return;
    const name =
      rawPath === undefined
        ? `"Path": ${JSON.stringify(path)}`
        : `"Encoded-Path": "${Buffer.from(rawPath).toString('hex')}"`;
    const modified = `${new Date(modifiedAtSeconds * 1000).toISOString().slice(0, 19).replace('T', ' ')} GMT`;
    const separator = this.#files === 0 ? '\n' : ',\n';
    this.#files += 1;
    this.#text += `${separator}{ ${name}, "Size": ${sizeBytes}, "Last-Modified": "${modified}" }`;
  }

  take(): Buffer {
    const piece = Buffer.from(this.#text);
    this.#hash.update(piece);
    this.#text = '';
    return piece;
  }

  end({ timeline, startLsn, stopLsn }: ListedBackup): Buffer {
    const range = `{ "Timeline": ${timeline}, "Start-LSN": "${formatLsn(startLsn)}", "End-LSN": "${formatLsn(stopLsn)}" }`;
    this.#text += `\n],\n"WAL-Ranges": [\n${range}\n],\n`;
    const before = this.take();
    return Buffer.concat([before, Buffer.from(`"Manifest-Checksum": "${this.#hash.digest('hex')}"}\n`)]);
  }
}

/** The manifest of a backup that is taken, whose end is known only afterwards. */
export class FileList {
  readonly #text: ManifestText;
  readonly #pieces: Buffer[] = [];

  constructor(backup: Pick<ListedBackup, 'postgresVersion' | 'systemIdentifier'>) {
    this.#text = new ManifestText(backup);
  }

  add(file: ListedFile): void {
    this.#text.file(file);
    if (this.#text.pending >= PIECE_CHARACTERS) this.#pieces.push(this.#text.take());
  }

  finish(backup: ListedBackup): Buffer {
    return Buffer.concat([...this.#pieces, this.#text.end(backup)]);
  }
}

/** The manifest of a backup that exists, as UPLOAD_MANIFEST takes it. */
export async function* manifestPieces(files: AsyncIterable<ListedFile>, backup: ListedBackup): AsyncGenerator<Buffer> {
  const text = new ManifestText(backup);
  for await (const file of files) {
    text.file(file);
    if (text.pending >= PIECE_CHARACTERS) yield text.take();
  }
  yield text.end(backup);
}
