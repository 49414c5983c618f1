/** Reads single pages through SQL, for a second look at what seems damaged. @packageDocumentation */
import { hasCode } from '@keyframe/contracts';
import { connectSql, type ConnectionTarget, readPage, type SqlSession } from '@keyframe/postgres';
import type { StageOptions } from '../events.ts';
import type { ReadPageAgain } from './damaged-pages.ts';

/** Opened at the first page that is wanted, since most backups want none. */
export interface PageReader {
  readonly read: ReadPageAgain;
  close(): Promise<void>;
}

/** A role that may not read files, or a server without room for another session, means that there is no second look. */
export function openPageReader(target: ConnectionTarget, { signal }: StageOptions): PageReader {
  let opened: Promise<SqlSession | undefined> | undefined;
  const refused = (error: unknown): undefined => {
    if (!hasCode(error, 'SERVER_ERROR', 'SERVER_REFUSED', 'SERVER_UNREACHABLE')) throw error;
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
