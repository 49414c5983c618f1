/** Many small requests, a few at a time. @packageDocumentation */
import { hasCode, KeyframeError, type ErrorCode } from '@keyframe/contracts';

/** Runs `act` for every item, at most `limit` at once, and goes on after a fault; rejects with the first one, and how many there were. */
export async function eachItem<T>(
  items: readonly T[],
  limit: number,
  signal: AbortSignal | undefined,
  act: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const faults: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      signal?.throwIfAborted();
      await act(item).catch((error: unknown) => {
        signal?.throwIfAborted();
        faults.push(error);
      });
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (faults.length === 0) return;
  // One that is worth another attempt must not hide one that is not.
  throw withCount(faults.find((fault) => !hasCode(fault, 'UNAVAILABLE')) ?? faults[0], faults.length);
}

function withCount(fault: unknown, failed: number): unknown {
  if (failed === 1 || !(fault instanceof KeyframeError)) return fault;
  const { code, hint, details, message }: { code: ErrorCode } & Pick<KeyframeError, 'hint' | 'details' | 'message'> =
    fault;
  return new KeyframeError(code, `${message} (and ${failed - 1} more)`, {
    cause: fault,
    hint,
    details: { ...details, failed },
  });
}
