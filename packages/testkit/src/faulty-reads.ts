/** Faults of reading: damage, and streams that end early. @packageDocumentation */
import type { ByteStream, GetOptions } from '@keyframe/contracts';
import { type Aim, aimed, around, type Fault, unavailable } from './faulty.ts';

type Change = (chunk: Uint8Array, offsetBytes: number) => Uint8Array | undefined;

/** Passes what is read through `change`, which is told where in the object a chunk starts; `undefined` ends the stream. */
function reading(aim: Aim, change: Change): Fault {
  return (store) => {
    const strikes = aimed(aim);
    return around(store, {
      async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
        const stream = await store.get(key, options);
        return strikes(key) ? passedThrough(stream, options.range?.start ?? 0, change) : stream;
      },
    });
  };
}

async function* passedThrough(stream: ByteStream, start: number, change: Change): ByteStream {
  let at = start;
  for await (const chunk of stream) {
    const passed = change(chunk, at);
    if (passed === undefined) return;
    if (passed.length > 0) yield passed;
    at += chunk.length;
  }
}

/** One bit of the object reads wrong: bit `bit` (0 to 7) of the byte at `offsetBytes`. */
export function flippedBit(offsetBytes: number, aim: Aim & { readonly bit?: number } = {}): Fault {
  return reading(aim, (chunk, start) => {
    const at = offsetBytes - start;
    if (at < 0 || at >= chunk.length) return chunk;
    const damaged = Uint8Array.from(chunk);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (aim.bit ?? 0));
    return damaged;
  });
}

/** The object reads as if it ended after `sizeBytes` bytes, without a fault. */
export function cutShort(sizeBytes: number, aim: Aim = {}): Fault {
  return reading(aim, (chunk, start) => (start >= sizeBytes ? undefined : chunk.subarray(0, sizeBytes - start)));
}

/** Reading fails with `UNAVAILABLE` once `bytes` bytes of the object have passed. */
export function breakingOff(bytes: number, aim: Aim = {}): Fault {
  return reading(aim, (chunk, start) => {
    if (start + chunk.length > bytes) throw unavailable('get', `after ${bytes} bytes`);
    return chunk;
  });
}
