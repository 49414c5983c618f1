/** `keyframe.json`: says that this is a repository, which one, and in which format. Never changed once written. */
export interface RepositoryIdentity {
  readonly format: number;
  /** A UUID, made at `init`. */
  readonly id: string;
  readonly createdAt: string;
  /** Plain bytes a frame of a pack holds at most. */
  readonly frameBytes: number;
  /** Plain bytes a frame of a WAL object holds at most. */
  readonly walFrameBytes: number;
}
