import { describe, expect, test } from 'vitest';
import { type Component, needs } from '../src/needs.ts';
import {
  createBucket,
  keepVersions,
  s3Request,
  type S3Server,
  startGarage,
  startMinio,
  startMinistack,
  startMoto,
  startVersitygw,
} from '../src/servers.ts';

const starters: Partial<Record<Component, () => Promise<S3Server>>> = {
  versitygw: startVersitygw,
  minio: startMinio,
  moto: startMoto,
  ministack: startMinistack,
};

describe.each(Object.entries(starters))('%s', (name, start) => {
  test('starts, keeps an object and its versions, and is gone after its end', async (context) => {
    await needs(context, name as Component);
    const server = await start();
    await createBucket(server, 'plain');
    await createBucket(server, 'locked', { locked: true });
    await keepVersions(server, 'plain');
    for (const body of ['one', 'two']) {
      const { status } = await s3Request(server, { method: 'PUT', path: '/plain/a%20b', body });
      expect(status).toBe(200);
    }
    expect(await s3Request(server, { method: 'GET', path: '/plain/a%20b' })).toMatchObject({ body: 'two' });
    const { body } = await s3Request(server, { method: 'GET', path: '/plain?versions=' });
    expect(body.match(/<Version>/g)).toHaveLength(2);
    await server.stop();
    await expect(s3Request(server, { method: 'GET', path: '/plain' })).rejects.toThrow('ECONNREFUSED');
  });
});

test('Garage starts with its bucket', async (context) => {
  await needs(context, 'garage');
  await using server = await startGarage('bucket');
  const { status } = await s3Request(server, { method: 'PUT', path: '/bucket/a', body: 'x' });
  expect(status).toBe(200);
});

test('MinIO over TLS', async (context) => {
  await needs(context, 'minio');
  await using server = await startMinio({ tls: true });
  await createBucket(server, 'plain');
  expect(server.endpoint).toMatch(/^https:/);
});
