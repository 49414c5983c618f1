import { KeyframeError, type WalFileName } from '@keyframe/contracts';

export const IDENTITY_KEY = 'keyframe.json';

const CLUSTER = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const LEASE = /^[a-z0-9][a-z0-9_.-]*(?:\/[a-z0-9][a-z0-9_.-]*)*$/;

/** @throws {KeyframeError} INVALID_OPTION */
export function assertClusterName(name: string): void {
  if (!CLUSTER.test(name))
    throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(name)} is no cluster name`, {
      hint: 'Name it under `clusters` with 1 to 63 of a-z, 0-9, `_` and `-`, beginning with a letter or digit.',
    });
}

/** @throws {KeyframeError} INVALID_OPTION */
export function assertLeaseName(name: string): void {
  if (!LEASE.test(name)) throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(name)} is no lease name`);
}

export function epochPrefix(cluster: string): string {
  return `clusters/${cluster}/epochs/`;
}

/** Prefix of everything kept of one epoch. */
export function archivePrefix(cluster: string, epoch: number): string {
  return `clusters/${cluster}/${epoch}/`;
}

const hex8 = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');

/** Key of a WAL file below {@link archivePrefix}. It never depends on codec or encryption. */
export function walKey(file: WalFileName): string {
  return file.kind === 'history' ? `wal/${file.name}` : `wal/${hex8(file.timeline)}/${hex8(file.log)}/${file.name}`;
}

/** Last part of a pack's key. */
export function packName(number: number): string {
  return `pack-${String(number).padStart(5, '0')}`;
}

/** Prefix of a lease's objects. */
export function leasePrefix(name: string): string {
  return `leases/${name}/`;
}
