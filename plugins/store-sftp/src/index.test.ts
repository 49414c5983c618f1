import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fingerprintOf, parseHostKey, pinsFor } from './host-keys.ts';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const ED25519 = 'AAAAC3NzaC1lZDI1NTE5AAAAIFxUkSi51KMbraFhxRsN7cUP294qk4/UsoH0d8muMOgb';
const RSA = 'AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7vbqajDw4o6gJy8UtmIbkcpnkO3Kwc4qsEnSZp';
const fingerprint = fingerprintOf(Buffer.from(ED25519, 'base64'));
const least = { host: 'backup.example.com', user: 'keyframe', directory: '/srv/keyframe' };

describe('options', () => {
  test('a host, a user, a directory, a key and a host key are enough', async () => {
    const result = await validate({ ...least, privateKey: 'KEY', hostKey: fingerprint });
    expect(result).toMatchObject({
      value: { port: 22, sync: 'required', channels: 4, hostKeys: [fingerprint], acceptAnyHostKey: false },
    });
    expect(JSON.stringify(result)).not.toContain('KEY"');
  });

  test.each([
    [{ ...least, privateKey: 'KEY' }, 'hostKey'],
    [{ ...least, hostKey: fingerprint }, 'privateKey'],
    [{ ...least, agent: '/run/agent', hostKey: 'SHA256:short' }, 'hostKey'],
    [{ ...least, agent: '/run/agent', hostKey: [] }, 'hostKey'],
    [{ ...least, agent: '/run/agent', hostKey: fingerprint, passphrase: 'x' }, 'passphrase'],
    [{ ...least, password: 'x', hostKey: fingerprint, directory: 'relative' }, 'directory'],
    [{ ...least, password: 'x', hostKey: fingerprint, channels: 11 }, 'channels'],
    [{ ...least, password: 'x', hostKey: fingerprint, bucket: 'b' }, undefined],
  ])('%j is refused', async (options, path) => {
    const { issues } = await validate(options);
    expect(issues?.map((issue) => issue.path?.[0])).toEqual([path]);
  });

  test('the JSON Schema allows what the options allow', () => {
    expect(plugin.jsonSchema?.()).toMatchObject({
      additionalProperties: false,
      required: ['host', 'user', 'directory'],
    });
  });
});

describe('known host keys', () => {
  const accepts = (text: string, host = 'host', port = 22): boolean =>
    pinsFor({ hostKeys: [], knownHostsText: text }, host, port).accepts(fingerprint);

  test('a public key and its fingerprint are the same pin', () => {
    expect(parseHostKey(`ssh-ed25519 ${ED25519} root@host`)?.fingerprint).toBe(fingerprint);
    expect(parseHostKey(fingerprint)?.fingerprint).toBe(fingerprint);
    expect(parseHostKey('ssh-ed25519')).toBeUndefined();
  });

  const salt = Buffer.from('01234567890123456789');
  const hashed = (name: string): string =>
    `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;

  test.each([
    [`host ssh-ed25519 ${ED25519}`, 'host', 22, true],
    [`other,HOST ssh-ed25519 ${ED25519} comment`, 'host', 22, true],
    [`*.example.com ssh-ed25519 ${ED25519}`, 'a.example.com', 22, true],
    [`*.example.com,!a.example.com ssh-ed25519 ${ED25519}`, 'a.example.com', 22, false],
    [`host ssh-ed25519 ${ED25519}`, 'host', 2222, false],
    [`[host]:2222 ssh-ed25519 ${ED25519}`, 'host', 2222, true],
    [`h.st ssh-ed25519 ${ED25519}`, 'host', 22, false],
    [`${hashed('host')} ssh-ed25519 ${ED25519}`, 'host', 22, true],
    [`${hashed('other')} ssh-ed25519 ${ED25519}`, 'host', 22, false],
    [`@cert-authority host ssh-ed25519 ${ED25519}`, 'host', 22, false],
    [`host ssh-ed25519 ${ED25519}\n@revoked * ssh-ed25519 ${ED25519}`, 'host', 22, false],
    [`# host ssh-ed25519 ${ED25519}`, 'host', 22, false],
    [`host ssh-rsa ${RSA}`, 'host', 22, false],
  ])('of `%s` %s:%i is %s', (text, host, port, expected) => {
    expect(accepts(text, host, port)).toBe(expected);
  });

  test('the types that are known are told, and none when only a fingerprint is', () => {
    const hostKeys = [`ssh-ed25519 ${ED25519}`, `ssh-rsa ${RSA}`];
    expect(pinsFor({ hostKeys, knownHostsText: undefined }, 'h', 22).types).toEqual(['ssh-ed25519', 'ssh-rsa']);
    expect(pinsFor({ hostKeys: [fingerprint], knownHostsText: undefined }, 'h', 22).types).toEqual([]);
  });
});
