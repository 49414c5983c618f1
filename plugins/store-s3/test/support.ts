import type { Host, Store } from '@keyframe/contracts';
import { testHost } from '@keyframe/testkit';
import type { S3Server } from '@keyframe/testkit/servers';
import plugin from '../src/index.ts';

/** A store as the config file would make it: options are read and checked. */
export function openStore(options: Readonly<Record<string, unknown>>, host: Partial<Host> = {}): Store {
  const read = plugin.options['~standard'].validate(options);
  if (read instanceof Promise || read.issues !== undefined) throw new Error(JSON.stringify(read));
  return plugin.create(read.value, testHost(host));
}

/** What leads to a bucket of that server with all rights. */
export const ownerOf = (server: S3Server, bucket: string): Readonly<Record<string, unknown>> => ({
  bucket,
  endpoint: server.endpoint,
  region: server.region,
  accessKeyId: server.credentials.accessKeyId,
  secretAccessKey: server.credentials.secretAccessKey,
});
