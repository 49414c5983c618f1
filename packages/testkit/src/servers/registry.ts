import { azurite } from './azurite.ts';
import { ensureServer, type Installation } from './install.ts';
import { fakeGcs } from './fake-gcs.ts';
import { garage } from './garage.ts';
import { minio } from './minio.ts';
import { ministack, moto } from './moto.ts';
import { sshd } from './sshd.ts';
import { versitygw } from './versitygw.ts';

/** One of the servers that tests can need. */
export type ServerName = 'versitygw' | 'minio' | 'moto' | 'ministack' | 'garage' | 'fake-gcs' | 'azurite' | 'sshd';

const servers: Readonly<Record<ServerName, Installation>> = {
  versitygw,
  minio,
  moto,
  ministack,
  garage,
  'fake-gcs': fakeGcs,
  azurite,
  sshd,
};

/** How to have that server on this machine; `undefined` for a name that is no server's. */
export function serverProbe(name: string): (() => Promise<string>) | undefined {
  const found = Object.entries<Installation>(servers).find(([known]) => known === name)?.[1];
  return found === undefined ? undefined : () => ensureServer(found);
}
