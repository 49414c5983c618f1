import { Secret } from '@keyframe/contracts';
import { describeContract, encryptorCases, testHost } from '@keyframe/testkit';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { describe, expect, it, test } from 'vitest';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const [office, vault, stranger] = await Promise.all([generateIdentity(), generateIdentity(), generateIdentity()]);
const recipients = await Promise.all([office, vault].map((identity) => identityToRecipient(identity)));
const make = (identity: string | undefined = office) =>
  plugin.create({ recipients, identity: identity === undefined ? undefined : new Secret(identity) }, testHost());
const writeOnly = () => plugin.create({ recipients, identity: undefined }, testHost());

describeContract({ describe, it }, 'encrypt-age', encryptorCases, () => make());
describeContract({ describe, it }, 'encrypt-age without identity', encryptorCases, writeOnly);

test('the identity of any recipient opens, in a file with comments too, and no other', async () => {
  const wrapped = await writeOnly().wrap(Buffer.alloc(32, 7));
  const file = `# created: 2026-11-24T00:00:00Z\n# public key: ${recipients[1]}\n${vault}`;
  expect(Buffer.from(await make(file).unwrap(wrapped))).toEqual(Buffer.alloc(32, 7));
  await expect(make(stranger).unwrap(wrapped)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  expect(Buffer.from(await make(`${stranger}\n${office}`).unwrap(wrapped))).toEqual(Buffer.alloc(32, 7));
});

test('the order of recipients does not change the key id', () => {
  const [one = '', other = ''] = recipients;
  const ids = [
    [one, other],
    [other, one],
  ].map((list) => plugin.create({ recipients: list, identity: undefined }, testHost()).keyId);
  expect(ids[0]).toBe(ids[1]);
});

test('a recipient with a wrong letter is refused when it is used', async () => {
  const wrong = (recipients[0] ?? '').replace(/.$/, (last) => (last === 'q' ? 'p' : 'q'));
  const encryptor = plugin.create({ recipients: [wrong], identity: undefined }, testHost());
  await expect(encryptor.wrap(Buffer.alloc(32))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});

test.each([
  [{}],
  [{ recipients: [] }],
  [{ recipients: ['ssh-ed25519 AAAA'] }],
  [{ recipients: ['age1qqqqqqqqqqqqqqqq'], identity: '# nothing but a comment' }],
  [{ recipients: ['age1qqqqqqqqqqqqqqqq'], passphrase: 'x' }],
])('the options %j are refused', async (options) => {
  expect((await validate(options)).issues).toHaveLength(1);
});

test('an identity is kept as a secret', async () => {
  expect(JSON.stringify(await validate({ recipients, identity: office }))).not.toContain('SECRET');
});
