/** Sizes and bounds of reading and writing. None of them changes what a reader must understand. */
export interface RepositoryTuning {
  /** Stored size at which a pack of big files is closed and uploaded. Default 32 MiB. */
  readonly packBytes: number;
  /** Stored size at which a pack of small files is closed. Default 8 MiB. */
  readonly bundlePackBytes: number;
  /** Files up to this size share frames with others. Default 1 MiB: every catalogue of a default schema. */
  readonly bundleLimitBytes: number;
  /** Frames being compressed or decompressed at once. Default 4, the size of Node's thread pool. */
  readonly framesInFlight: number;
  /** Plain size at which a manifest chunk is closed. Default 256 KiB. */
  readonly manifestChunkBytes: number;
  /** Finished manifest chunks kept in memory before they are spilled to a pack. Default 16 MiB. */
  readonly manifestBufferBytes: number;
  /**
   * A frame of which a backup needs less than this share is not built on: its bytes are stored anew. With evenly spread
   * changes a restore then reads at most 1.45 times what is needed, and an increment stores about twice what changed.
   * Default 0.53.
   */
  readonly leastLiveShare: number;
  /**
   * Where the base has more ranges than this in a MiB of a file, that place is stored anew. Default 124; 128 would be
   * each page of 8 KiB elsewhere than the one before.
   */
  readonly mostExtentsPerMiB: number;
  /** Stored bytes from which on the packs of a backup that was given up are left for the next one. Default 32 MiB. */
  readonly resumableBytes: number;
  /** Content to compare with a target from which on threads are started for it: what is less is done before. Default 64 MiB. */
  readonly threadedBytes: number;
}

export const DEFAULT_TUNING: RepositoryTuning = {
  packBytes: 32 << 20,
  bundlePackBytes: 8 << 20,
  bundleLimitBytes: 1 << 20,
  framesInFlight: 4,
  manifestChunkBytes: 256 << 10,
  manifestBufferBytes: 16 << 20,
  leastLiveShare: 0.53,
  mostExtentsPerMiB: 124,
  resumableBytes: 32 << 20,
  threadedBytes: 64 << 20,
};
