import type { Abortable } from '@keyframe/contracts';

/** The process that holds a lease, precise enough to tell whether it still runs. */
export interface LeaseHolder {
  readonly host: string;
  /** Kernel boot id: the same host after a reboot is another one. */
  readonly bootId: string;
  readonly pid: number;
  /** Start of the process as the kernel tells it, so that a reused pid is no one's alibi. */
  readonly processStart: string;
  /** What runs, for people: `keyframe backup`. */
  readonly command: string;
}

/** How long a lease lasts unless it is renewed, and how far clocks may differ. */
export interface LeaseOptions extends Abortable {
  /** How long the lease lives without a renewal, in milliseconds. It is renewed at a third of that. */
  readonly ttlMs: number;
  /** Difference of clocks between hosts that is tolerated before a lease counts as expired. Default 30 s. */
  readonly clockSkewMs?: number | undefined;
  /** Asked only for a holder on this host and boot. False: it is dead and its lease is free at once. Default: alive. */
  readonly isHolderAlive?: ((holder: LeaseHolder) => boolean | Promise<boolean>) | undefined;
}

/** A lease that is held. Renews itself; the timer keeps no process alive. */
export interface Lease {
  readonly name: string;
  readonly holder: LeaseHolder;
  /** Aborts, with a LOCKED error, when another process took the lease or it could not be renewed in time. */
  readonly lost: AbortSignal;
  /** Renews now. The timer calls it; a caller need not. */
  renew(): Promise<void>;
  /** Gives the lease back. Idempotent. */
  release(): Promise<void>;
}
