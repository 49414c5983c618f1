import { Secret } from '@keyframe/contracts';
import { describeContract, encryptorCases, testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const make = (passphrase = 'correct horse battery', work = 14) =>
  plugin.create({ passphrase: new Secret(passphrase), name: 'office', work }, testHost());

describeContract({ describe, it }, 'encrypt-passphrase', encryptorCases, () => make());

test('the defaults cost 128 MiB, and the passphrase is kept as a secret', async () => {
  const result = await validate({ passphrase: 'correct horse battery' });
  expect(result).toMatchObject({ value: { name: 'passphrase', work: 17 } });
  expect(JSON.stringify(result)).not.toContain('horse');
});

test.each([
  [{ passphrase: 'too short' }],
  [{ passphrase: 'correct horse battery', work: 13 }],
  [{ passphrase: 'correct horse battery', work: 21 }],
  [{ passphrase: 'correct horse battery', name: 'a b' }],
  [{ passphrase: 'correct horse battery', salt: 'x' }],
  [{}],
])('the options %j are refused', async (options) => {
  expect((await validate(options)).issues).toHaveLength(1);
});

test('another passphrase is denied', async () => {
  const wrapped = await make().wrap(Buffer.alloc(32, 7));
  await expect(make('correct horse cattery').unwrap(wrapped)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
});

test('a passphrase opens however its accents were composed, and whatever the cost of new slots is now', async () => {
  const wrapped = await make('pass\u00E9 compos\u00E9 deux').wrap(Buffer.alloc(32, 7));
  expect(await make('passe\u0301 compose\u0301 deux', 15).unwrap(wrapped)).toEqual(Buffer.alloc(32, 7));
});

test.each([
  [0, 2],
  [1, 21],
  [1, 0],
  [2, 16],
  [3, 2],
])('the parameter %i of %i is refused before anything is computed', async (at, value) => {
  const wrapped = Uint8Array.from(await make().wrap(Buffer.alloc(32, 7)));
  wrapped[at] = value;
  await expect(make().unwrap(wrapped)).rejects.toMatchObject({ code: 'CORRUPT' });
});
