import { Secret } from '@keyframe/contracts';
import type { AzureOptions } from '../src/options.ts';

/** Options of a store that is opened with a key. */
export const optionsOf = (changed: Partial<AzureOptions>): AzureOptions => ({
  account: 'devstoreaccount1',
  container: 'kf-test',
  prefix: '',
  endpoint: 'http://127.0.0.1:1/devstoreaccount1',
  accountKey: new Secret(Buffer.alloc(64).toString('base64')),
  auth: 'default',
  retentionMode: 'locked',
  partMiB: 8,
  parallelParts: 2,
  connections: 32,
  connectTimeoutSeconds: 2,
  stallTimeoutSeconds: 20,
  ...changed,
});
