import { ensureServer, type Installation } from './install.ts';
import { garage } from './garage.ts';
import { minio } from './minio.ts';
import { ministack, moto } from './moto.ts';
import { versitygw } from './versitygw.ts';

/** Servers that tests can need, by the name that `needs` takes. */
const servers = { versitygw, minio, moto, ministack, garage } as const satisfies Record<string, Installation>;

/** One of the servers that tests can need. */
export type ServerName = keyof typeof servers;

/** How to have that server on this machine; `undefined` for a name that is no server's. */
export function serverProbe(name: string): (() => Promise<string>) | undefined {
  const found = Object.entries<Installation>(servers).find(([known]) => known === name)?.[1];
  return found === undefined ? undefined : () => ensureServer(found);
}
