/** Where the public keys of writers lie. */
export const SIGNERS_PREFIX = 'signers/';

/** Key of a writer's public key. */
export function signerKey(keyId: string): string {
  return `${SIGNERS_PREFIX}${keyId}.json`;
}

/** Key of an entry of a signed chain; `prefix` is that of its epoch. */
export function chainKey(prefix: string, number: number): string {
  return `${prefix}chain/${String(number).padStart(10, '0')}`;
}

/** Number of the entry with that key; `undefined` for what is none. */
export function chainNumber(prefix: string, key: string): number | undefined {
  const digits = /^chain\/(\d{10})$/u.exec(key.slice(prefix.length))?.[1];
  return digits === undefined ? undefined : Number(digits);
}
