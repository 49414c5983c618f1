import type { KeyframeError } from '@keyframe/contracts';

/** What happens to the copies of a repository beside the operation that was asked for. */
export type MirrorEvent =
  /** A store does not keep up: it is fed from the others from now on. */
  | { readonly kind: 'behind'; readonly store: string; readonly fault: KeyframeError | undefined }
  /** A store that fell behind in this process is still so as it ends. */
  | { readonly kind: 'left-behind'; readonly store: string }
  /** Two stores hold different objects under one name. Both stay as they are. */
  | { readonly kind: 'conflict'; readonly key: string; readonly stores: readonly string[] }
  /** A copy failed its verification and another one passed. */
  | { readonly kind: 'damage'; readonly key: string; readonly store: string }
  /** A damaged copy was replaced by one that was proven. */
  | { readonly kind: 'repaired'; readonly key: string; readonly store: string }
  /** A copy is still to be made or mended, and this could not be written down. `repository status` finds it by listing. */
  | { readonly kind: 'journal'; readonly fault: KeyframeError };

/** Gets every event; it must not throw. */
export type OnMirrorEvent = (event: MirrorEvent) => void;
