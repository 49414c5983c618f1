import type { SqlSession } from '../sql/session.ts';

const PAGE_BYTES = 8192;

/**
 * Reads one page of a file of the data directory through the server; `undefined` when the file is gone or ends before it.
 * `page` counts from the start of that file. The page may be torn when the server writes it meanwhile.
 * @throws {KeyframeError} SERVER_ERROR when the role may not read files of the server (`pg_read_server_files`, and EXECUTE on
 *   `pg_read_binary_file(text, bigint, bigint, boolean)`)
 */
export async function readPage(sql: SqlSession, path: string, page: number): Promise<Buffer | undefined> {
  const [row] = await sql.query<{ page: string | null }>(
    `select encode(pg_read_binary_file($1::text, $2::bigint, $3::bigint, true), 'base64') as page`,
    [path, page * PAGE_BYTES, PAGE_BYTES],
  );
  if (typeof row?.page !== 'string') return undefined;
  const bytes = Buffer.from(row.page, 'base64');
  return bytes.length === PAGE_BYTES ? bytes : undefined;
}
