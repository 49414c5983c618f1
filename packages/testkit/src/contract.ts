import { type Closable, type ErrorCode, hasCode } from '@keyframe/contracts';

/**
 * One sentence of a contract, and the code that proves it. Free of any test runner, so that the same cases run in a
 * plugin's tests and against a user's own storage.
 */
export interface ContractCase<Adapter> {
  /** A sentence in the present tense. */
  readonly name: string;
  /** Which adapters the case is for. Absent: every adapter must pass. */
  readonly needs?: {
    /** Why an adapter may do without, shown as the reason of the skip. */
    readonly reason: string;
    readonly met: (adapter: Adapter) => boolean | Promise<boolean>;
  };
  /** Set where a case changes more than objects of its own, such as rules of the bucket: it is not for storage in use. */
  readonly changes?: string;
  /** Rejects when the adapter does not keep the sentence. */
  readonly run: (adapter: Adapter) => Promise<void>;
}

/** The part of a test runner that {@link describeContract} uses; vitest's `describe` and `it` fit. */
export interface Runner {
  readonly describe: (name: string, body: () => void) => void;
  readonly it: (name: string, body: (context: { skip(reason?: string): void }) => Promise<void>) => void;
}

/** Registers every case as a test. `make` returns a fresh adapter, which is closed after its case. */
export function describeContract<Adapter extends Closable>(
  { describe, it }: Runner,
  title: string,
  cases: readonly ContractCase<Adapter>[],
  make: () => Adapter | Promise<Adapter>,
): void {
  describe(`${title} keeps its contract`, () => {
    for (const { name, needs, run } of cases) {
      it(name, async (context) => {
        const adapter = await make();
        try {
          if (needs !== undefined && !(await needs.met(adapter))) {
            context.skip(needs.reason);
            return;
          }
          await run(adapter);
        } finally {
          await adapter.close?.();
        }
      });
    }
  });
}

/** @throws {Error} unless both are the same value */
export function same(actual: unknown, expected: unknown, what = 'value'): void {
  if (!Object.is(actual, expected)) throw new Error(`${what}: expected ${String(expected)}, got ${String(actual)}`);
}

/** @throws {Error} unless both hold the same bytes */
export function sameBytes(actual: Uint8Array, expected: Uint8Array, what = 'bytes'): void {
  if (Buffer.compare(actual, expected) === 0) return;
  const at = expected.findIndex((byte, index) => byte !== actual[index]);
  throw new Error(`${what}: ${actual.length} instead of ${expected.length} bytes, other from byte ${at}`);
}

/** The fault that `action` ends with. @throws {Error} when it ends well */
export async function faultOf(action: () => Promise<unknown>): Promise<unknown> {
  let result: unknown;
  try {
    result = await action();
  } catch (error) {
    return error;
  }
  throw new Error(`expected a fault, got ${String(result)}`);
}

/** @throws {Error} unless `action` rejects with one of those codes */
export async function raises(codes: ErrorCode | readonly ErrorCode[], action: () => Promise<unknown>): Promise<void> {
  const expected = [codes].flat();
  const error = await faultOf(action);
  if (!hasCode(error, ...expected)) throw new Error(`expected ${expected.join(' or ')}, got ${String(error)}`);
}
