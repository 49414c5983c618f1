/** `backup_manifest` for backups that no server has one for: read from files, or from changed blocks. @packageDocumentation */
import type { Lsn, TimelineId } from '@keyframe/contracts';
import { type ManifestCluster, type ManifestFile, ManifestWriter, type WalRange } from '@keyframe/postgres';

/** A file as the manifest names it. It comes without a checksum: Keyframe proves its bytes by its own. */
export type ListedFile = Omit<ManifestFile, 'crc32c'>;

/** Of which cluster, and which WAL a restore of it needs. */
export interface ListedBackup {
  readonly postgresVersion: number;
  readonly systemIdentifier: string;
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
}

/** Files that a base backup's own manifest does not name. */
const UNNAMED: ReadonlySet<string> = new Set(['backup_manifest']);

type Source = Pick<ListedBackup, 'postgresVersion' | 'systemIdentifier'>;

const clusterOf = ({ postgresVersion, systemIdentifier }: Source): ManifestCluster => ({
  systemIdentifier,
  major: Math.floor(postgresVersion / 10_000),
});

const rangesOf = ({ timeline, startLsn, stopLsn }: ListedBackup): readonly WalRange[] => [
  { timeline, startLsn, endLsn: stopLsn },
];

/** The manifest of a backup that is taken, whose end is known only afterwards. */
export class FileList {
  readonly #writer: ManifestWriter;
  readonly #pieces: Buffer[] = [];

  constructor(source: Source) {
    this.#writer = new ManifestWriter(clusterOf(source));
  }

  add({ path, rawPath, sizeBytes, modifiedAtSeconds }: ListedFile): void {
    if (UNNAMED.has(path)) return;
    const piece = this.#writer.add({ path, rawPath, sizeBytes, modifiedAtSeconds });
    if (piece !== undefined) this.#pieces.push(piece);
  }

  finish(backup: ListedBackup): Buffer {
    return Buffer.concat([...this.#pieces, this.#writer.end(rangesOf(backup))]);
  }
}
