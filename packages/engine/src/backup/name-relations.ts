/** Which relation a file belongs to, by name: for people. @packageDocumentation */
import { isKeyframeError } from '@keyframe/contracts';
import { connectSql, type ConnectionTarget, databaseName, parseRelationPath, relationName } from '@keyframe/postgres';
import type { DamagedPage } from '@keyframe/repository';
import type { StageOptions } from '../events.ts';

/** Files whose names are looked up; each may cost a question. */
const LOOKED_UP = 100;

/** The same pages with names where the server tells them: it may be down by now, and the role may not connect everywhere. */
export async function nameRelations(
  target: ConnectionTarget,
  pages: readonly DamagedPage[],
  options: StageOptions,
): Promise<readonly DamagedPage[]> {
  const names = new Map<string, string>();
  const byDatabase = Map.groupBy(
    [...new Set(pages.map(({ path }) => path))].slice(0, LOOKED_UP),
    (path) => parseRelationPath(path)?.database ?? 0,
  );
  for (const [oid, paths] of byDatabase)
    try {
      for (const [path, name] of await namesOf(target, oid, paths, options)) names.set(path, name);
    } catch (error) {
      if (!isKeyframeError(error)) throw error;
    }
  return pages.map((page) => {
    const relation = names.get(page.path);
    return relation === undefined ? page : { ...page, relation };
  });
}

/** `database.relation` by path. Shared relations are visible from any database. */
async function namesOf(
  target: ConnectionTarget,
  oid: number,
  paths: readonly string[],
  { signal }: StageOptions,
): Promise<Map<string, string>> {
  const sql = await connectSql(target, { signal });
  let database: string | undefined;
  try {
    if (oid !== 0) database = await databaseName(sql, oid);
    if (oid === 0 || database === target.database) return await ask();
  } finally {
    await sql.close();
  }
  if (database === undefined) return new Map();
  const there = await connectSql({ ...target, database }, { signal });
  try {
    return await ask(there);
  } finally {
    await there.close();
  }

  async function ask(session = sql): Promise<Map<string, string>> {
    const names = new Map<string, string>();
    for (const path of paths) {
      const file = parseRelationPath(path);
      const name = file === undefined ? undefined : await relationName(session, file);
      if (name !== undefined) names.set(path, database === undefined ? name : `${database}: ${name}`);
    }
    return names;
  }
}
