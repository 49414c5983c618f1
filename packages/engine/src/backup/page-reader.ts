/** Reads single pages, for a second look at what seems damaged. @packageDocumentation */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, type KeyframeError } from '@keyframe/contracts';
import { connectSql, type ConnectionTarget, readPage, type SqlSession } from '@keyframe/postgres';
import type { StageOptions } from '../events.ts';
import type { ReadPageAgain } from './damaged-pages.ts';
import { PAGE_BYTES } from './page-lane.ts';

/** Opened at the first page that is wanted, since most backups want none. */
export interface PageReader {
  readonly read: ReadPageAgain;
  close(): Promise<void>;
}

/** From the disk of this machine. */
export function localPageReader(dataDirectory: string): PageReader {
  return {
    async read({ path, filePage }) {
      const page = Buffer.alloc(PAGE_BYTES);
      try {
        await using file = await open(join(dataDirectory, path));
        const { bytesRead } = await file.read(page, 0, PAGE_BYTES, filePage * PAGE_BYTES);
        return bytesRead === PAGE_BYTES ? page : undefined;
      } catch (error) {
        // Removed meanwhile, or the disk fails at that very place: there is nothing better.
        if (error instanceof Error && 'code' in error) return undefined;
        throw error;
      }
    },
    close: () => Promise.resolve(),
  };
}

/** Through SQL. A role that may not read files, or a server without room for another session, means that there is no second look. */
export function serverPageReader(target: ConnectionTarget, { signal, onEvent }: StageOptions): PageReader {
  let opened: Promise<SqlSession | undefined> | undefined;
  let told = false;
  const refused = (error: unknown): undefined => {
    if (!hasCode(error, 'SERVER_ERROR', 'SERVER_REFUSED', 'SERVER_UNREACHABLE')) throw error;
    if (!told) onEvent?.({ kind: 'warning', ...noSecondLook(target, error) });
    told = true;
  };
  return {
    async read({ path, filePage }) {
      opened ??= connectSql(target, { signal }).catch(refused);
      const sql = await opened;
      return sql === undefined ? undefined : await readPage(sql, path, filePage).catch(refused);
    },
    async close() {
      await (await opened)?.close();
    },
  };
}

function noSecondLook({ user }: ConnectionTarget, { message }: KeyframeError): { message: string; hint: string } {
  return {
    message: `a page that seems damaged could not be read again: ${message}`,
    hint: `Grant the role ${user} EXECUTE on pg_read_binary_file(text, bigint, bigint, boolean) if it may read every file of the server; else the WAL of the backup decides.`,
  };
}
