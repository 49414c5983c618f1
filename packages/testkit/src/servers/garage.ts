import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '../runner.ts';
import { ensureServer, type Installation } from './install.ts';
import { startServer } from './process.ts';
import type { S3Server } from './s3.ts';

/** Garage: answers 200 to every conditional write and overwrites. Many minutes to build. */
export const garage: Installation = {
  name: 'garage-2.5.0',
  build: 'cargo install --quiet --root "$1" "$3" && mv "$1/bin/garage" "$1/garage"',
  words: ['garage@2.5.0'],
  large: true,
};

/** Starts Garage as a single node with an empty bucket of that name: it has no other way to make one. */
export async function startGarage(bucket: string): Promise<S3Server> {
  const home = await ensureServer(garage);
  const data = await mkdtemp(path.join(tmpdir(), 'kf-garage-'));
  const credentials = {
    accessKeyId: `GK${randomBytes(12).toString('hex')}`,
    secretAccessKey: randomBytes(32).toString('hex'),
  };
  const file = path.join(data, 'garage.toml');
  const running = await startServer(async (port) => {
    await writeFile(file, configuration(data, port, await freePort()));
    return {
      command: path.join(home, 'garage'),
      args: ['server', '--single-node', '--default-bucket'],
      environment: {
        GARAGE_CONFIG_FILE: file,
        GARAGE_DEFAULT_ACCESS_KEY: credentials.accessKeyId,
        GARAGE_DEFAULT_SECRET_KEY: credentials.secretAccessKey,
        GARAGE_DEFAULT_BUCKET: bucket,
      },
    };
  });
  const stop = async (): Promise<void> => {
    await running.stop();
    await rm(data, { recursive: true, force: true });
  };
  const endpoint = `http://127.0.0.1:${running.port}`;
  return { ...running, endpoint, region: 'garage', credentials, stop, [Symbol.asyncDispose]: stop };
}

const configuration = (data: string, port: number, rpcPort: number): string => `
metadata_dir = "${data}/meta"
data_dir = "${data}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:${rpcPort}"
rpc_public_addr = "127.0.0.1:${rpcPort}"
rpc_secret = "${randomBytes(32).toString('hex')}"

[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:${port}"
`;
