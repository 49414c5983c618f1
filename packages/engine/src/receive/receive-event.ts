import type { Lsn, TimelineId } from '@keyframe/contracts';

/** What the receiver tells. Facts for a log; LSNs are positions behind the last byte. */
export type ReceiveEvent =
  | { readonly kind: 'streaming'; readonly timeline: TimelineId; readonly lsn: Lsn; readonly durable: Lsn }
  /** WAL up to there is in the repository. Told at every put. */
  | { readonly kind: 'durable'; readonly lsn: Lsn; readonly receivedLsn: Lsn }
  | { readonly kind: 'segment'; readonly name: string; readonly outcome: 'archived' | 'already-archived' }
  | { readonly kind: 'timeline'; readonly from: TimelineId; readonly to: TimelineId; readonly lsn: Lsn }
  | { readonly kind: 'slot-created'; readonly slot: string; readonly lsn: Lsn | undefined }
  | { readonly kind: 'slot-lost'; readonly slot: string; readonly message: string }
  | {
      readonly kind: 'slot';
      readonly slot: string;
      readonly walStatus: string;
      readonly keptBytes: number | undefined;
      readonly safeWalBytes: number | undefined;
    }
  /** WAL that the server no longer has and the repository lacks: no moment in it can be recovered. */
  | { readonly kind: 'gap'; readonly timeline: TimelineId; readonly from: Lsn; readonly to: Lsn }
  | { readonly kind: 'disconnected'; readonly message: string; readonly retryMs: number }
  | { readonly kind: 'store-waits'; readonly message: string; readonly seconds: number }
  | { readonly kind: 'warning'; readonly message: string; readonly hint?: string | undefined };

/** Gets every event, in order; it must not throw. */
export type OnReceive = (event: ReceiveEvent) => void;
