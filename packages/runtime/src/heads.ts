import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import type { Log } from '@keyframe/contracts';
import type { ChainHead, HeadMemory } from '@keyframe/repository';

const HEAD = /^([1-9]\d{0,14}) ([0-9a-f]{64})\n$/;

/**
 * The newest heads of signed chains, each in a small file of this host. A head that cannot be kept is no reason to fail what
 * is complete; that it is not kept is told.
 */
export function headsIn(directory: string, log: Log): HeadMemory {
  const fileOf = (chain: string): string => path.join(directory, 'heads', ...chain.split('/'));
  return {
    async get(chain) {
      const file = fileOf(chain);
      try {
        const [, number, sha256] = HEAD.exec(await readFile(file, 'utf8')) ?? [];
        if (number !== undefined && sha256 !== undefined) return { number: Number(number), sha256 };
        log.warn(`${file} is no remembered head of a signed chain; it is not used`);
      } catch (error) {
        if (codeOf(error) !== 'ENOENT')
          log.warn(`the remembered head of the signed chain cannot be read: ${String(error)}`);
      }
      return undefined;
    },
    async set(chain, head) {
      try {
        await replace(fileOf(chain), head);
      } catch (error) {
        log.warn(`the head of the signed chain cannot be remembered: ${String(error)}`);
        log.warn('hint: Name a directory that this user may write to as `state` in the config file.');
      }
    },
  };
}

/** Durable before it counts: a head that is forgotten in a crash would let an older copy of the repository pass. */
async function replace(file: string, { number, sha256 }: ChainHead): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const fresh = `${file}.${process.pid}`;
  const handle = await open(fresh, 'w', 0o600);
  try {
    await handle.writeFile(`${number} ${sha256}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(fresh, file);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
