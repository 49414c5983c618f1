import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ensureServer, goInstallation, type Installation } from './install.ts';
import { startServer } from './process.ts';
import type { S3Server } from './s3.ts';

/** versitygw: a strict S3 gateway over a directory, with users and object lock. Quick to build. */
export const versitygw: Installation = goInstallation(
  'versitygw',
  'v1.8.0',
  'github.com/versity/versitygw/cmd/versitygw',
);

const credentials = { accessKeyId: 'keyframe', secretAccessKey: 'keyframe-secret' };

/** Starts versitygw with an empty data directory. Users can be made by its admin requests. */
export async function startVersitygw(): Promise<S3Server> {
  const home = await ensureServer(versitygw);
  const data = await mkdtemp(path.join(tmpdir(), 'kf-versitygw-'));
  const directory = path.join(data, 'objects');
  for (const name of ['objects', 'versions', 'users']) await mkdir(path.join(data, name));
  const running = await startServer((port) => ({
    command: path.join(home, 'versitygw'),
    args: [
      '-q',
      `--access=${credentials.accessKeyId}`,
      `--secret=${credentials.secretAccessKey}`,
      `--port=127.0.0.1:${port}`,
      `--iam-dir=${path.join(data, 'users')}`,
      'posix',
      `--versioning-dir=${path.join(data, 'versions')}`,
      directory,
    ],
  }));
  const stop = async (): Promise<void> => {
    await running.stop();
    await rm(data, { recursive: true, force: true });
  };
  const endpoint = `http://127.0.0.1:${running.port}`;
  return { ...running, endpoint, region: 'us-east-1', credentials, directory, stop, [Symbol.asyncDispose]: stop };
}
