import path from 'node:path';
import { ensureServer, goInstallation, type Installation } from './install.ts';
import { type Running, startServer } from './process.ts';

/** fake-gcs-server: keeps conditions and checksums as Google does; no locks, no keys, no lifecycle, no tokens. */
export const fakeGcs: Installation = goInstallation('fake-gcs-server', 'v1.56.1', 'github.com/fsouza/fake-gcs-server');

/** An emulation of Google Cloud Storage, all in memory. */
export interface GcsServer extends Running {
  readonly endpoint: string;
  createBucket(name: string, settings?: object): Promise<void>;
}

/** Starts fake-gcs-server without any bucket. It takes any credentials. */
export async function startFakeGcs(): Promise<GcsServer> {
  const home = await ensureServer(fakeGcs);
  const running = await startServer((port) => ({
    command: path.join(home, 'fake-gcs-server'),
    args: [
      '-scheme=http',
      '-host=127.0.0.1',
      `-port=${port}`,
      `-public-host=127.0.0.1:${port}`,
      '-backend=memory',
      '-log-level=error',
    ],
  }));
  const endpoint = `http://127.0.0.1:${running.port}`;
  return {
    ...running,
    endpoint,
    createBucket: async (name, settings = {}) => {
      const answer = await fetch(`${endpoint}/storage/v1/b?project=keyframe`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name, ...settings }),
      });
      if (!answer.ok) throw new Error(`bucket ${name}: ${answer.status} ${await answer.text()}`);
    },
  };
}
