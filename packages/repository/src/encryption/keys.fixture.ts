import agePlugin from '@keyframe/encrypt-age';
import passphrasePlugin from '@keyframe/encrypt-passphrase';
import { Secret } from '@keyframe/contracts';
import { testHost } from '@keyframe/testkit';
import type { EncryptionContext, NamedEncryptor } from './encryption.ts';

/** A key for the office and one for the safe: made for these tests, of no use elsewhere. */
export const OFFICE = {
  identity: 'AGE-SECRET-KEY-1FKCVL5XT0GSJF5M4PY7JJZ022YNWXT409KM07ZE4FGY3PLGDA0QQ5340EQ',
  recipient: 'age1n65ky0rdd6gkvkyv3scd89wzk5d66vv45r6tpyuyccfqlqffnpss9a3e0r',
} as const;
export const SAFE = {
  identity: 'AGE-SECRET-KEY-1GWEXZ23UQ990RJ9VNFE7WUA7PJNZCRPZXUA5VXYQFK6WW290ZCDSTQENP3',
  recipient: 'age1g0khvth0eykpdm80fx3dlx6hq4zcv0qwcpysl6luk52dww6h3dqqsp7g4v',
} as const;

/** A slot by passphrase, cheap enough for tests. */
export function passphrase(text: string, name = 'passphrase'): NamedEncryptor {
  return {
    kind: 'passphrase',
    encryptor: passphrasePlugin.create({ passphrase: new Secret(text), name, work: 14 }, testHost()),
  };
}

/** A slot for age recipients; without identity it only writes. */
export function age(recipients: readonly string[], identity?: string): NamedEncryptor {
  const options = { recipients, identity: identity === undefined ? undefined : new Secret(identity) };
  return { kind: 'age', encryptor: agePlugin.create(options, testHost()) };
}

export function encryption(...encryptors: readonly NamedEncryptor[]): EncryptionContext {
  return { encryptors };
}
