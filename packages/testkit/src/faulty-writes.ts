/** Faults of storing. @packageDocumentation */
import { type ByteSource, KeyframeError, type ObjectInfo } from '@keyframe/contracts';
import { type Aim, aimed, around, failing, type Fault, faulty, unavailable } from './faulty.ts';

/** The object is stored, yet the writer is told `UNAVAILABLE`: the acknowledgement was lost. */
export function losingAcknowledgement(aim: Aim = {}): Fault {
  return (store) => {
    const strikes = aimed(aim);
    return around(store, {
      async put(key, source, options): Promise<ObjectInfo> {
        const info = await store.put(key, source, options);
        if (strikes(key)) throw unavailable('put', key);
        return info;
      },
    });
  };
}

/** Every write and delete is refused with `ACCESS_DENIED`. */
export function readOnly(): Fault {
  const error = new KeyframeError('ACCESS_DENIED', 'the store is read-only');
  return (store) => faulty(store, failing('put', { error }), failing('delete', { error }));
}

/** After `bytes` bytes in all, writes fail with `UNAVAILABLE` in the middle, as on a full disk. Deletes give nothing back. */
export function fullAfter(bytes: number): Fault {
  let room = bytes;
  const limited = (source: ByteSource): ByteSource => ({
    sizeBytes: source.sizeBytes,
    open: async function* () {
      for await (const chunk of source.open()) {
        room -= chunk.length;
        if (room < 0)
          throw new KeyframeError('UNAVAILABLE', "the store's disk is full", { details: { system: 'ENOSPC' } });
        yield chunk;
      }
    },
  });
  return (store) => around(store, { put: (key, source, options) => store.put(key, limited(source), options) });
}
