import type { GcsOptions } from '../src/options.ts';

/** Options of a store without credentials. */
export const optionsOf = (changed: Partial<GcsOptions>): GcsOptions => ({
  bucket: 'kf-test',
  prefix: '',
  endpoint: 'http://127.0.0.1:1',
  auth: 'anonymous',
  retentionMode: 'Locked',
  partMiB: 8,
  connections: 32,
  connectTimeoutSeconds: 2,
  stallTimeoutSeconds: 5,
  ...changed,
});
