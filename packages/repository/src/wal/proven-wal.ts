import type { ByteStream } from '@keyframe/contracts';
import type { EpochContext } from '../epoch-context.ts';
import { withCopies } from '../objects/with-copies.ts';
import type { WalObjectHeader } from './wal-archive.ts';
import { decodeWalObject } from './wal-content.ts';

/** A file up to this size is held in memory while its copy is proven; a larger one is read twice. */
const HELD_BYTES = 64 << 20;

/**
 * Opens a WAL file of which there are several copies. A stream cannot be taken back once it turns out to be damaged, so a copy
 * is proven to its end before any of it is given out, and another one is taken where it is not whole.
 */
export async function openProven(
  context: EpochContext,
  { key, name, signal }: { readonly key: string; readonly name: string; readonly signal: AbortSignal | undefined },
): Promise<{ readonly header: WalObjectHeader; readonly content: ByteStream }> {
  return withCopies(context.store, key, async (copy) => {
    const open = async (): ReturnType<typeof decodeWalObject> =>
      decodeWalObject(context, await copy.get(key, { signal }), { key, name });
    const { header, content } = await open();
    const held: Uint8Array[] = [];
    const isHeld = header.sizeBytes <= HELD_BYTES;
    for await (const piece of content) if (isHeld) held.push(piece);
    return { header, content: isHeld ? given(held) : (await open()).content };
  });
}

async function* given(pieces: readonly Uint8Array[]): ByteStream {
  yield* pieces;
}
