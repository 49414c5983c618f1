import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../runner.ts';
import { ensureServer, goInstallation, type Installation } from './install.ts';
import { startServer } from './process.ts';
import { s3Request, type S3Server } from './s3.ts';

const run = promisify(execFile);

/** MinIO: server-side encryption for real, object lock, policies. Minutes to build. */
export const minio: Installation = goInstallation(
  'minio',
  'v0.0.0-20260212201848-7aac2a2c5b7c',
  'github.com/minio/minio',
  true,
);

const credentials = { accessKeyId: 'keyframe', secretAccessKey: 'keyframe-secret' };
/** The name of the only key that the server's own key management knows. */
export const MINIO_KEY = 'keyframe-key';

/** Starts MinIO with an empty data directory; with TLS it also takes keys of the client. */
export async function startMinio(options: { readonly tls?: boolean } = {}): Promise<S3Server> {
  const home = await ensureServer(minio);
  const data = await mkdtemp(path.join(tmpdir(), 'kf-minio-'));
  const directory = path.join(data, 'objects');
  const certificates = path.join(data, 'certificates');
  await mkdir(directory);
  await mkdir(certificates);
  if (options.tls === true) await makeCertificate(certificates);
  const running = await startServer(async (port) => ({
    command: path.join(home, 'minio'),
    args: [
      'server',
      '--quiet',
      `--address=127.0.0.1:${port}`,
      `--console-address=127.0.0.1:${await freePort()}`,
      `--certs-dir=${certificates}`,
      directory,
    ],
    environment: {
      MINIO_ROOT_USER: credentials.accessKeyId,
      MINIO_ROOT_PASSWORD: credentials.secretAccessKey,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
      MINIO_KMS_SECRET_KEY: `${MINIO_KEY}:${randomBytes(32).toString('base64')}`,
    },
  }));
  const stop = async (): Promise<void> => {
    await running.stop();
    await rm(data, { recursive: true, force: true });
  };
  const endpoint = `${options.tls === true ? 'https' : 'http'}://127.0.0.1:${running.port}`;
  const caFile = options.tls === true ? path.join(certificates, 'public.crt') : undefined;
  const server: S3Server = {
    ...running,
    endpoint,
    region: 'us-east-1',
    credentials,
    directory,
    caFile,
    stop,
    [Symbol.asyncDispose]: stop,
  };
  // It listens before it has read its disks, and answers 503 until then.
  while ((await s3Request(server, { method: 'GET', path: '/' })).status === 503) await sleep(50);
  return server;
}

async function makeCertificate(directory: string): Promise<void> {
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'.split(
    ' ',
  );
  const files = ['-keyout', path.join(directory, 'private.key'), '-out', path.join(directory, 'public.crt')];
  await run('openssl', [...request, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', ...files]);
}
