import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type ChannelBinding, startScram } from './scram.ts';

// RFC 7677 §3
const VECTOR = {
  user: 'user',
  password: 'pencil',
  nonce: 'rOprNGfwEbeRWgbNEkqO',
  serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  clientFinal:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
};
const none: ChannelBinding = { kind: 'none' };
const hmac = (key: Uint8Array, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const refused = expect.objectContaining({ code: 'SERVER_REFUSED' });

describe('startScram', () => {
  it('follows the example of RFC 7677', async () => {
    const { user, password, nonce } = VECTOR;
    const exchange = startScram({ user, password, nonce, binding: none });
    expect(exchange.first).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
    expect(await exchange.respond(VECTOR.serverFirst)).toBe(VECTOR.clientFinal);
    expect(() => exchange.verify(VECTOR.serverFinal)).not.toThrow();
  });

  it.each(['v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=', 'v=AAAA', 'v=', 'e=invalid-proof', ''])(
    'refuses a server that ends with %j',
    async (serverFinal) => {
      const { user, password, nonce } = VECTOR;
      const exchange = startScram({ user, password, nonce, binding: none });
      await exchange.respond(VECTOR.serverFirst);
      expect(() => exchange.verify(serverFinal)).toThrow(refused);
    },
  );

  it('refuses a proof that comes before ours', () => {
    const exchange = startScram({ password: 'pencil', binding: none });
    expect(() => exchange.verify(VECTOR.serverFinal)).toThrow(refused);
  });

  it.each([
    'r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    'r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    'r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0',
    'r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999999',
    'r=rOprNGfwEbeRWgbNEkqOx,i=4096',
    'e=other-error',
  ])('refuses a server that begins with %j', async (serverFirst) => {
    const exchange = startScram({ password: 'pencil', nonce: VECTOR.nonce, binding: none });
    await expect(exchange.respond(serverFirst)).rejects.toThrow(refused);
  });

  it('puts the channel into header and proof', async () => {
    const data = createHash('sha256').update('certificate').digest();
    const exchange = startScram({ password: 'pencil', nonce: 'abc', binding: { kind: 'bound', data } });
    expect(exchange.first).toBe('p=tls-server-end-point,,n=,r=abc');
    const serverFirst = `r=abcdef,s=${Buffer.from('salt').toString('base64')},i=2`;
    const final = await exchange.respond(serverFirst);
    const channel = Buffer.concat([Buffer.from('p=tls-server-end-point,,'), data]).toString('base64');
    expect(final.startsWith(`c=${channel},r=abcdef,p=`)).toBe(true);

    // What the server does: recover the client key from the proof and compare its hash (RFC 5802 §3).
    const salted = pbkdf2Sync('pencil', 'salt', 2, 32, 'sha256');
    const stored = createHash('sha256').update(hmac(salted, 'Client Key')).digest();
    const signature = hmac(stored, `n=,r=abc,${serverFirst},${final.replace(/,p=.*$/, '')}`);
    const key = Buffer.from(final.replace(/^.*,p=/, ''), 'base64').map((byte, index) => byte ^ (signature[index] ?? 0));
    expect(createHash('sha256').update(key).digest()).toEqual(stored);
  });

  it('says so when the server hides its offer of channel binding', () => {
    expect(startScram({ password: 'x', nonce: 'abc', binding: { kind: 'not-offered' } }).first).toBe('y,,n=,r=abc');
  });

  it('takes a new nonce each time', () => {
    const [first, second] = [1, 2].map(() => startScram({ password: 'x', binding: none }).first);
    expect(first).not.toBe(second);
  });
});
