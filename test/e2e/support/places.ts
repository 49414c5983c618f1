/** A place for a repository on each kind of store, on a real server behind a proxy that harms what passes. @packageDocumentation */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Component, type Random } from '@keyframe/testkit/postgres';
import {
  cutBody,
  cutUpload,
  type Dialect,
  expiredCredentials,
  type FaultProxy,
  flippedUploadByte,
  latency,
  lostAcknowledgement,
  reset,
  startFaultProxy,
  throttled,
} from '@keyframe/testkit/proxy';
import { createBucket, startAzurite, startFakeGcs, startSshd, startVersitygw } from '@keyframe/testkit/servers';

export type Kind = 's3' | 'gcs' | 'azure' | 'sftp' | 'fs';

/** What the machine must have for a kind. */
export const COMPONENTS: Readonly<Record<Kind, readonly Component[]>> = {
  s3: ['versitygw'],
  gcs: ['fake-gcs'],
  azure: ['azurite'],
  sftp: ['sshd'],
  fs: [],
};

/** One store: what the config file says of it, and means to harm it. */
export interface Place extends AsyncDisposable {
  readonly kind: Kind;
  /** A slot of `stores`. */
  readonly slot: string;
  /** Puts the faults of a bad day in force, drawn from `random`. Only where HTTP is spoken. */
  harm(random: Random): void;
  /** Takes them out of force. */
  heal(): void;
  /** Out of reach for so long. */
  outage(milliseconds: number): Promise<void>;
  down(): Promise<void>;
  up(): Promise<void>;
  /** The next so many requests are told that the credentials have expired. */
  expire(times: number): void;
  /** Requests that were harmed. */
  strikes(): number;
}

/** Starts the server of a kind, empty. */
export async function startPlace(kind: Kind, name: string = kind): Promise<Place> {
  if (kind === 'fs') return await directoryPlace(name);
  if (kind === 'sftp') return await sftpPlace(name);
  return await httpPlace(kind, name);
}

const BUCKET = 'kf-vault';

async function httpPlace(kind: 's3' | 'gcs' | 'azure', name: string): Promise<Place> {
  await using stack = new AsyncDisposableStack();
  const { proxy, options } = await {
    s3: async () => {
      const server = stack.use(await startVersitygw());
      await createBucket(server, BUCKET);
      const through = stack.use(await startFaultProxy(server.endpoint));
      const { region, credentials } = server;
      return { proxy: through, options: { bucket: BUCKET, endpoint: through.url, region, ...credentials } };
    },
    gcs: async () => {
      const server = stack.use(await startFakeGcs());
      await server.createBucket(BUCKET);
      const through = stack.use(await startFaultProxy(server.endpoint));
      return { proxy: through, options: { bucket: BUCKET, endpoint: through.url, auth: 'anonymous' } };
    },
    azure: async () => {
      const server = stack.use(await startAzurite());
      await server.createContainer(BUCKET);
      const through = stack.use(await startFaultProxy(new URL(server.endpoint).origin));
      const endpoint = `${through.url}/${server.account.name}`;
      const { name: account, key: accountKey } = server.account;
      return { proxy: through, options: { container: BUCKET, account, accountKey, endpoint } };
    },
  }[kind]();
  const kept = stack.move();
  return {
    kind,
    slot: JSON.stringify({ use: kind, name, ...options }),
    ...harming(proxy, kind),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Every fault alone is rare, all of them together are not. */
function harming(proxy: FaultProxy, dialect: Dialect): Omit<Place, 'kind' | 'slot' | keyof AsyncDisposable> {
  let active: ReturnType<FaultProxy['add']>[] = [];
  return {
    harm(random) {
      const rare = (probability: number) => ({ probability, random: () => random.fraction() });
      const write = /^(PUT|POST)$/;
      active = [
        proxy.add(latency(1, 4)),
        proxy.add(reset(), rare(0.03)),
        proxy.add(cutUpload(20_000), { method: write, ...rare(0.03) }),
        proxy.add(flippedUploadByte(20_000), { method: write, ...rare(0.02) }),
        proxy.add(lostAcknowledgement(), { method: write, ...rare(0.03) }),
        proxy.add(cutBody(3_000), { method: 'GET', ...rare(0.05) }),
        proxy.add(throttled(dialect), rare(0.01)),
      ];
    },
    heal() {
      for (const each of active) each.remove();
    },
    outage: (milliseconds) => proxy.outage(milliseconds),
    down: () => proxy.down(),
    up: () => proxy.up(),
    expire: (times) => void proxy.add(expiredCredentials(dialect), { times }),
    // The first is the latency of all.
    strikes: () => active.slice(1).reduce((sum, each) => sum + each.strikes, 0),
  };
}

async function sftpPlace(name: string): Promise<Place> {
  const server = await startSshd();
  const slot = {
    use: 'sftp',
    name,
    host: '127.0.0.1',
    port: server.port,
    user: server.user,
    directory: join(server.directory, 'store'),
    privateKey: `\${file:${server.keys.known}}`,
    hostKey: await server.hostKeys(),
  };
  const up = (): Promise<void> => server.restart();
  return {
    kind: 'sftp',
    slot: JSON.stringify(slot),
    ...harmless,
    down: () => server.crash(),
    up,
    outage: async (milliseconds) => {
      await server.crash();
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      await up();
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

async function directoryPlace(name: string): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'kf-place-'));
  return {
    kind: 'fs',
    slot: JSON.stringify({ use: 'fs', name, directory: join(directory, 'store') }),
    ...harmless,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

const harmless: Omit<Place, 'kind' | 'slot' | keyof AsyncDisposable> = {
  harm: () => undefined,
  heal: () => undefined,
  outage: () => Promise.resolve(),
  down: () => Promise.resolve(),
  up: () => Promise.resolve(),
  expire: () => undefined,
  strikes: () => 0,
};
