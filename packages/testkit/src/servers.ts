/** `@keyframe/testkit/servers`: real object stores and emulations of clouds for tests, built into a cache. @packageDocumentation */
export { ensureServer, type Installation, NotBuilt } from './servers/install.ts';
export { type Command, type Running, startServer } from './servers/process.ts';
export {
  createBucket,
  keepVersions,
  type S3Answer,
  type S3Credentials,
  s3Request,
  type S3Request,
  type S3Server,
} from './servers/s3.ts';
export { startVersitygw } from './servers/versitygw.ts';
export { MINIO_KEY, startMinio } from './servers/minio.ts';
export { startMinistack, startMoto } from './servers/moto.ts';
export { startGarage } from './servers/garage.ts';
export { AZURITE_ACCOUNT, type AzureServer, startAzurite } from './servers/azurite.ts';
export { type GcsServer, startFakeGcs } from './servers/fake-gcs.ts';
export { type SshServer, startSshd } from './servers/sshd.ts';
