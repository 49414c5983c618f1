import { type ByteSource, type ByteStream, hasCode, type ObjectInfo, type PutOptions } from '@keyframe/contracts';
import { abortable } from '@keyframe/contracts/streams';
import type { Member } from './member.ts';
import { within } from './waiting.ts';

/** Sources of unknown size up to this are encoded once, for all stores, and held in memory meanwhile. */
const GATHER_BYTES = 64 << 20;
/** When enough stores have an object, the others may take as long again, within these bounds, milliseconds. */
const PATIENCE_MS = { least: 250, most: 1_000 };

/** What came of putting one object to several stores at once. */
export interface Ballot {
  readonly created: ReadonlyMap<Member, ObjectInfo>;
  /** Refused: an object is there. */
  readonly present: ReadonlySet<Member>;
  readonly faults: ReadonlyMap<Member, unknown>;
  /** Given up when enough others had it: whether they have it is not known. */
  readonly late: readonly Member[];
}

/**
 * Puts an object to all of these stores at once. Resolves when `isEnough` of them have it and the others have had a little
 * more time, or when all have answered. Afterwards nothing reads the source any more.
 */
export async function vote(
  members: readonly Member[],
  { key, source, options }: { readonly key: string; readonly source: ByteSource; readonly options: PutOptions },
  isEnough: (created: Iterable<Member>) => boolean,
): Promise<Ballot> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const guarded = guard(source, signal);
  const created = new Map<Member, ObjectInfo>();
  const present = new Set<Member>();
  const faults = new Map<Member, unknown>();
  const enough = Promise.withResolvers<void>();
  const started = performance.now();
  const answers = members.map(async (member) => {
    try {
      created.set(member, await member.use((store) => store.put(key, guarded, { ...options, signal })));
      if (isEnough(created.keys())) enough.resolve();
    } catch (error) {
      if (hasCode(error, 'ALREADY_EXISTS')) present.add(member);
      else faults.set(member, error);
    }
  });
  const all = Promise.all(answers);
  await Promise.race([enough.promise, all]);
  const took = performance.now() - started;
  await within(Math.min(PATIENCE_MS.most, Math.max(PATIENCE_MS.least, took)), all);
  stop.abort(new DOMException('enough stores have it', 'AbortError'));
  const answered = new Set([...created.keys(), ...present, ...faults.keys()]);
  const late = members.filter((member) => !answered.has(member));
  return { created: new Map(created), present: new Set(present), faults: new Map(faults), late };
}

/**
 * The source as each store may read it: every chunk is the store's own, and none is given out once the put is decided. The
 * memory behind it is used again then, while a store that was given up may still be sending.
 */
function guard(source: ByteSource, signal: AbortSignal): ByteSource {
  return {
    sizeBytes: source.sizeBytes,
    open: async function* (): ByteStream {
      signal.throwIfAborted();
      for await (const chunk of source.open()) {
        signal.throwIfAborted();
        yield Buffer.from(chunk);
        signal.throwIfAborted();
      }
    },
  };
}

/** Encodes a source of unknown size once, so that every store gets the same bytes; a very large one is encoded for each. */
export async function gathered(source: ByteSource, signal: AbortSignal | undefined): Promise<ByteSource> {
  signal?.throwIfAborted();
  if (source.sizeBytes !== undefined) return source;
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of abortable(source.open(), signal)) {
    sizeBytes += chunk.length;
    if (sizeBytes > GATHER_BYTES) return source;
    chunks.push(Buffer.from(chunk));
  }
  return { sizeBytes, open: () => fromChunks(chunks) };
}

async function* fromChunks(chunks: readonly Uint8Array[]): ByteStream {
  for (const chunk of chunks) yield chunk;
}
