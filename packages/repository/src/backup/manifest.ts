import type { Abortable, KeyframeError } from '@keyframe/contracts';
import type { BackupRecord } from './record.ts';

/** A file, directory or symbolic link of a backup. Its path is proven to stay inside the data directory. */
export interface ManifestEntry {
  /** Running number in the backup, from 0. */
  readonly ordinal: number;
  readonly type: 'file' | 'directory' | 'symlink';
  readonly path: string;
  /** The path's bytes when they are not valid UTF-8; `path` is then only good for messages. */
  readonly rawPath?: Uint8Array | undefined;
  readonly mode: number;
  readonly modifiedAtSeconds: number;
  /** 0 unless a file. */
  readonly sizeBytes: number;
  readonly linkTarget?: string | undefined;
}

/** One frame as a manifest names it. */
export interface FrameReference {
  /** Key of the pack. */
  readonly pack: string;
  readonly number: number;
  readonly offset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly sha256: Uint8Array;
}

/** A range of a file that lies in a frame, or, where there is no frame, is all zero. */
export interface Extent {
  readonly ordinal: number;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  readonly frame: FrameReference | undefined;
  readonly frameOffset: number;
}

/** A pack that a manifest names. */
export interface PackUse {
  /** Of the backup that wrote it. */
  readonly epoch: number;
  readonly label: string;
  readonly number: number;
  readonly key: string;
  /** Plain bytes of files that lie in it; undefined in manifests of early releases. 0: it holds no content of them. */
  readonly liveBytes: number | undefined;
  /** Where its frame table begins, how many frames that has, and its SHA-256: what proves the pack to be that one. */
  readonly tableOffset: number;
  readonly frames: number;
  readonly tableSha256: Uint8Array;
}

/** Reads a manifest chunk by chunk, on demand; where the object is damaged or gone, from its copy in the last pack. */
export interface ManifestReader {
  readonly record: BackupRecord;
  /** What was found damaged in the first copy so far, each once. Report it: the backup has lost its spare. */
  readonly damage: readonly KeyframeError[];
  /** Exactly the packs in which its bytes lie, and all packs of its own backup. Known since it was opened. */
  packs(): readonly PackUse[];
  /** All entries in the order of the backup: a directory comes before what is in it. */
  entries(options?: Abortable): AsyncIterable<ManifestEntry>;
  /** Looks one path up without reading the whole manifest. */
  find(path: string, options?: Abortable): Promise<ManifestEntry | undefined>;
  /** Where one file's bytes lie, in file order, without reading the whole manifest. */
  extents(entry: ManifestEntry, options?: Abortable): Promise<Extent[]>;
  /** `backup_manifest`: the server's own, byte for byte, or one of the same form made from what was stored. */
  serverManifest(options?: Abortable): Promise<Buffer>;
  /** `backup_label`, byte for byte. */
  backupLabel(options?: Abortable): Promise<Buffer>;
  /** `tablespace_map`, byte for byte, when there was one. */
  tablespaceMap(options?: Abortable): Promise<Buffer | undefined>;
}
