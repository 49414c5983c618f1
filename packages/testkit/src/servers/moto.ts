import { ensureServer, type Installation, pythonInstallation } from './install.ts';
import { startServer } from './process.ts';
import type { S3Server } from './s3.ts';

/** moto: an emulation of AWS, for what no real server here offers. */
export const moto: Installation = pythonInstallation('moto', '5.2.5');
/** ministack: another, with archive tiers and disabled keys as AWS has them. */
export const ministack: Installation = pythonInstallation('ministack', '1.5.33');

const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };

/** Starts moto: S3, KMS, IAM, STS on one port, all in memory. It takes any credentials. */
export async function startMoto(): Promise<S3Server> {
  const home = await ensureServer(moto);
  const running = await startServer((port) => ({
    command: 'python3',
    args: ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)],
    environment: { PYTHONPATH: home, PYTHONDONTWRITEBYTECODE: '1' },
  }));
  return { ...running, endpoint: `http://127.0.0.1:${running.port}`, region: 'us-east-1', credentials };
}

/** Starts ministack: S3, KMS, IAM, STS on one port, all in memory. It takes any credentials. */
export async function startMinistack(): Promise<S3Server> {
  const home = await ensureServer(ministack);
  const running = await startServer((port) => ({
    command: 'python3',
    args: ['-m', 'ministack'],
    environment: {
      PYTHONPATH: home,
      PYTHONDONTWRITEBYTECODE: '1',
      GATEWAY_PORT: String(port),
      BIND_HOST: '127.0.0.1',
      SFTP_ENABLED: '0',
      IOT_MTLS_ENABLED: '0',
      LOG_LEVEL: 'WARNING',
    },
  }));
  return { ...running, endpoint: `http://127.0.0.1:${running.port}`, region: 'us-east-1', credentials };
}
