import { createHmac, pbkdf2Sync } from 'node:crypto';
import { Secret } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import { Authentication, type Credentials } from './authentication.ts';
import { TYPE } from './message-type.ts';

/** Only its hash matters here, and that is the same for any self-signed certificate with SHA-256. */
const CERTIFICATE = Buffer.from('30173000300c06082a8648ce3d0403020500030100', 'hex');

interface Played {
  readonly sent: readonly string[];
  request(method: number, body?: string | Buffer): Promise<void>;
}

function play(credentials: Partial<Credentials> = {}, encrypted = false): Played {
  const sent: string[] = [];
  const authentication = new Authentication(
    { user: 'ann', password: new Secret('pencil'), channelBinding: 'prefer', ...credentials },
    {
      encrypted,
      certificate: encrypted ? CERTIFICATE : undefined,
      send: (bytes) => void sent.push(Buffer.from(bytes.subarray(5)).toString('latin1')),
    },
  );
  return {
    sent,
    request: async (method, body = '') => {
      const code = Buffer.alloc(4);
      code.writeInt32BE(method);
      await authentication.message(TYPE.authentication, Buffer.concat([code, Buffer.from(body)]));
    },
  };
}

const offer = (...mechanisms: readonly string[]): string => `${mechanisms.join('\0')}\0\0`;
const [OK, CLEARTEXT, MD5, SASL, CONTINUE, FINAL] = [0, 3, 5, 10, 11, 12] as const;
const BOTH = offer('SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256');
const refused = { code: 'SERVER_REFUSED', hint: expect.any(String) };

const hmac = (key: Uint8Array, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Plays the server's side of SCRAM up to its proof. */
async function proofFor(played: Played, password: string): Promise<string> {
  const bare = (played.sent[0] ?? '').replace(/^.*?(?=n=,r=)/s, '');
  const nonce = `${bare.replace('n=,r=', '')}more`;
  const serverFirst = `r=${nonce},s=c2FsdA==,i=10`;
  await played.request(CONTINUE, serverFirst);
  const withoutProof = (played.sent[1] ?? '').replace(/,p=.*$/, '');
  const serverKey = hmac(pbkdf2Sync(password, 'salt', 10, 32, 'sha256'), 'Server Key');
  return `v=${hmac(serverKey, `${bare},${serverFirst},${withoutProof}`).toString('base64')}`;
}

describe('Authentication', () => {
  it('is let in without a password', async () => {
    const played = play({ password: undefined });
    await played.request(OK);
    expect(played.sent).toEqual([]);
  });

  it('gives the password in clear when asked', async () => {
    const played = play();
    await played.request(CLEARTEXT);
    expect(played.sent).toEqual(['pencil\0']);
  });

  it('hashes the password for md5', async () => {
    const played = play();
    await played.request(MD5, Buffer.from([1, 2, 3, 4]));
    // printf pencilann | md5sum; then that text and the salt again
    expect(played.sent).toEqual(['md57a54f810f22603a6e57c5628653701a4\0']);
  });

  it('completes SCRAM with a server that proves itself', async () => {
    const played = play();
    await played.request(SASL, offer('SCRAM-SHA-256'));
    await played.request(FINAL, await proofFor(played, 'pencil'));
    await played.request(OK);
    expect(played.sent).toHaveLength(2);
  });

  it('refuses a server that does not know the password', async () => {
    const played = play();
    await played.request(SASL, offer('SCRAM-SHA-256'));
    const proof = await proofFor(played, 'another');
    await expect(played.request(FINAL, proof)).rejects.toMatchObject(refused);
  });

  it('refuses a server that skips its proof', async () => {
    const played = play();
    await played.request(SASL, offer('SCRAM-SHA-256'));
    await proofFor(played, 'pencil');
    await expect(played.request(OK)).rejects.toMatchObject(refused);
  });

  it('binds to the channel where that is offered', async () => {
    const played = play({ channelBinding: 'require' }, true);
    await played.request(SASL, BOTH);
    expect(played.sent[0]).toMatch(/^SCRAM-SHA-256-PLUS\0.{4}p=tls-server-end-point,,n=,r=/s);
    await played.request(FINAL, await proofFor(played, 'pencil'));
    await played.request(OK);
  });

  it.each([
    ['in clear', false, 'prefer', 'n'],
    ['over TLS with binding disabled', true, 'disable', 'n'],
  ] as const)('does not bind %s', async (_name, encrypted, channelBinding, flag) => {
    const played = play({ channelBinding }, encrypted);
    await played.request(SASL, BOTH);
    expect(played.sent[0]).toMatch(new RegExp(`^SCRAM-SHA-256\\0.{4}${flag},,`, 's'));
  });

  it('tells the server that binding was not offered over TLS', async () => {
    const played = play({}, true);
    await played.request(SASL, offer('SCRAM-SHA-256'));
    expect(played.sent[0]).toMatch(/^SCRAM-SHA-256\0.{4}y,,/s);
  });

  it.each([
    ['trusts', OK, ''],
    ['asks for the password in clear', CLEARTEXT, ''],
    ['uses md5', MD5, 'salt'],
    ['offers no binding', SASL, offer('SCRAM-SHA-256')],
  ] as const)('sends nothing to a server that %s when binding is required', async (_name, method, body) => {
    const played = play({ channelBinding: 'require' }, true);
    await expect(played.request(method, body)).rejects.toMatchObject(refused);
    expect(played.sent).toEqual([]);
  });

  it.each([
    ['Kerberos', 2, ''],
    ['GSSAPI', 7, ''],
    ['another mechanism', SASL, offer('OAUTHBEARER')],
  ] as const)('refuses %s', async (_name, method, body) => {
    await expect(play().request(method, body)).rejects.toMatchObject(refused);
  });

  it.each([CLEARTEXT, MD5, SASL])('says that no password is given (method %i)', async (method) => {
    await expect(play({ password: undefined }).request(method, BOTH)).rejects.toMatchObject({
      code: 'SERVER_REFUSED',
      message: expect.stringContaining('"ann"'),
      hint: expect.stringContaining('.pgpass'),
    });
  });

  it.each([CONTINUE, FINAL])('refuses a SASL message out of turn (%i)', async (method) => {
    await expect(play().request(method, 'r=x')).rejects.toMatchObject({ code: 'SERVER_ERROR' });
  });
});
