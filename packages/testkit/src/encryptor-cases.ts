import { randomBytes } from 'node:crypto';
import type { Encryptor, ErrorCode } from '@keyframe/contracts';
import { type ContractCase, faultOf, raises, same, sameBytes } from './contract.ts';

const opens: ContractCase<Encryptor>['needs'] = {
  reason: 'this host holds public keys only',
  met: ({ canUnwrap }) => canUnwrap,
};

/** How a damaged wrapping may be refused: some tools cannot tell damage from a key that is not theirs. */
const REFUSALS: readonly ErrorCode[] = ['CORRUPT', 'ACCESS_DENIED'];

/** What every encryptor must do. */
export const encryptorCases: readonly ContractCase<Encryptor>[] = [
  {
    name: 'its key id is one line of text',
    async run({ keyId }) {
      same(/^[^\p{Cc}]{1,4000}$/u.test(keyId), true, keyId);
    },
  },
  ...[16, 32, 64].map((size) => ({
    name: `a key of ${size} bytes comes back the same`,
    needs: opens,
    async run(encryptor: Encryptor) {
      const key = randomBytes(size);
      sameBytes(await encryptor.unwrap(await encryptor.wrap(key)), key);
    },
  })),
  {
    name: 'the key stands nowhere in what wraps it, and two wrappings differ',
    async run(encryptor) {
      const key = randomBytes(32);
      const [one, other] = [Buffer.from(await encryptor.wrap(key)), Buffer.from(await encryptor.wrap(key))];
      for (let at = 0; at + 8 <= key.length; at += 8)
        same(one.includes(key.subarray(at, at + 8)), false, 'part of key');
      same(one.equals(other), false, 'equal wrappings');
    },
  },
  {
    name: 'a key is a view into a larger buffer, and stays unchanged',
    needs: opens,
    async run(encryptor) {
      const whole = randomBytes(100);
      const before = Buffer.from(whole);
      const view = new Uint8Array(whole.buffer, whole.byteOffset + 13, 32);
      const wrapped = await encryptor.wrap(view);
      const shifted = Buffer.concat([Buffer.alloc(7), wrapped, Buffer.alloc(7)]).subarray(7, 7 + wrapped.length);
      const kept = Buffer.from(shifted);
      sameBytes(await encryptor.unwrap(shifted), view);
      sameBytes(whole, before, 'input of wrap');
      sameBytes(shifted, kept, 'input of unwrap');
    },
  },
  {
    name: 'several keys at once do not disturb each other',
    needs: opens,
    async run(encryptor) {
      const keys = Array.from({ length: 4 }, () => randomBytes(32));
      const wrapped = await Promise.all(keys.map((key) => encryptor.wrap(key)));
      const back = await Promise.all(wrapped.map((each) => encryptor.unwrap(each)));
      for (const [index, key] of keys.entries()) sameBytes(back[index] ?? Buffer.of(), key, `key ${index}`);
    },
  },
  {
    name: 'a flipped bit never gives another key',
    needs: opens,
    async run(encryptor) {
      const key = randomBytes(32);
      const wrapped = await encryptor.wrap(key);
      for (let at = 0; at < wrapped.length; at += Math.ceil(wrapped.length / 12)) {
        const damaged = Uint8Array.from(wrapped);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
        // A tool may ignore a bit that means nothing, such as one of a comment.
        await encryptor.unwrap(damaged).then(
          (back) => sameBytes(back, key, `a wrapping with byte ${at} changed`),
          (error: unknown) => raises(REFUSALS, () => Promise.reject(error)),
        );
      }
    },
  },
  {
    name: 'a wrapping that was cut or is empty is refused',
    needs: opens,
    async run(encryptor) {
      const wrapped = await encryptor.wrap(randomBytes(32));
      for (const length of [0, 1, wrapped.length >> 1, wrapped.length - 1])
        await raises(REFUSALS, () => encryptor.unwrap(wrapped.subarray(0, length)));
    },
  },
  {
    name: 'without a private key nothing is unwrapped',
    needs: { reason: 'this host holds the private key', met: ({ canUnwrap }) => !canUnwrap },
    async run(encryptor) {
      const wrapped = await encryptor.wrap(randomBytes(32));
      await raises('ACCESS_DENIED', () => encryptor.unwrap(wrapped));
    },
  },
  {
    name: 'an aborted operation rejects with the reason of its signal',
    async run(encryptor) {
      const reason = new Error('enough');
      const signal = AbortSignal.abort(reason);
      same(await faultOf(() => encryptor.wrap(randomBytes(32), { signal })), reason, 'fault of wrap');
      if (encryptor.canUnwrap)
        same(await faultOf(() => encryptor.unwrap(randomBytes(100), { signal })), reason, 'fault of unwrap');
    },
  },
];
