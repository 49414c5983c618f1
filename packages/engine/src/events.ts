import type { KeyframeError, Lsn } from '@keyframe/contracts';

/** What a running stage tells its caller. Facts for a screen or a log; never bulk bytes, never a secret. */
export type EngineEvent =
  | { readonly kind: 'phase'; readonly phase: string; readonly message: string }
  | {
      readonly kind: 'bytes';
      readonly phase: string;
      readonly doneBytes: number;
      readonly totalBytes: number | undefined;
      /** Of those done: not read, since an interrupted backup had stored them. */
      readonly skippedBytes?: number | undefined;
    }
  | {
      readonly kind: 'replay';
      readonly lsn: Lsn | undefined;
      readonly segment: string | undefined;
      readonly done: number;
      readonly total: number;
    }
  | { readonly kind: 'index'; readonly segment: string; readonly done: number; readonly total: number }
  | { readonly kind: 'scan'; readonly segment: string; readonly done: number; readonly total: number }
  | { readonly kind: 'warning'; readonly message: string; readonly hint?: string | undefined };

/** Gets every event of a stage, in order; it must not throw. */
export type OnEvent = (event: EngineEvent) => void;

/** What every stage takes besides its context and input. */
export interface StageOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: OnEvent | undefined;
}

/** Takes a fault that does not stop the stage and tells it as a warning. */
export function warnOf({ onEvent }: StageOptions): (fault: KeyframeError) => void {
  return ({ message, hint }) => onEvent?.({ kind: 'warning', message, hint });
}
