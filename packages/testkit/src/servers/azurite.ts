import { createHmac } from 'node:crypto';
import path from 'node:path';
import { ensureServer, type Installation } from './install.ts';
import { type Running, startServer } from './process.ts';

const VERSION = '3.37.0';

/** Azurite: Microsoft's own emulation of Azure Storage. It checks keys and SAS; no locks, no versions, no customer keys. */
export const azurite: Installation = {
  name: `azurite-${VERSION}`,
  build:
    'npm install --prefix "$1" --no-audit --no-fund --no-save --ignore-scripts --omit=optional --loglevel=error "azurite@$3"',
  words: [VERSION],
};

/** The account that Azurite has from its start; its key is printed in Microsoft's documentation. */
export const AZURITE_ACCOUNT = {
  name: 'devstoreaccount1',
  key: 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==',
} as const;

/** An emulation of Azure Blob Storage, all in memory. */
export interface AzureServer extends Running {
  /** Of the account: containers follow. */
  readonly endpoint: string;
  readonly account: typeof AZURITE_ACCOUNT;
  createContainer(name: string): Promise<void>;
}

/** Starts Azurite with an account and without any container. */
export async function startAzurite(): Promise<AzureServer> {
  const home = await ensureServer(azurite);
  const running = await startServer((port) => ({
    command: process.execPath,
    args: [
      path.join(home, 'node_modules/azurite/dist/src/blob/main.js'),
      '--blobHost=127.0.0.1',
      `--blobPort=${port}`,
      '--inMemoryPersistence',
      '--silent',
      '--disableTelemetry',
      '--skipApiVersionCheck',
    ],
  }));
  const endpoint = `http://127.0.0.1:${running.port}/${AZURITE_ACCOUNT.name}`;
  return {
    ...running,
    endpoint,
    account: AZURITE_ACCOUNT,
    createContainer: async (name) => {
      const answer = await fetch(`${endpoint}/${name}?restype=container`, {
        method: 'PUT',
        headers: signed(`/${AZURITE_ACCOUNT.name}/${AZURITE_ACCOUNT.name}/${name}\nrestype:container`),
      });
      if (!answer.ok) throw new Error(`container ${name}: ${answer.status} ${await answer.text()}`);
    },
  };
}

/** Headers of a PUT without a body. */
function signed(resource: string): Record<string, string> {
  const date = new Date().toUTCString();
  const version = '2021-12-02';
  const text = `PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:${date}\nx-ms-version:${version}\n${resource}`;
  const signature = createHmac('sha256', Buffer.from(AZURITE_ACCOUNT.key, 'base64')).update(text).digest('base64');
  return {
    'x-ms-date': date,
    'x-ms-version': version,
    authorization: `SharedKey ${AZURITE_ACCOUNT.name}:${signature}`,
  };
}
