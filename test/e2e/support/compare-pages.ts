/** Compares data directories page by page. @packageDocumentation */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Lsn, lsn, parseLsn } from '@keyframe/contracts';
import { parseRelationPath } from '@keyframe/postgres';

const PAGE_BYTES = 8192;

/** What a comparison saw. */
export interface PageComparison {
  /** Pages of main forks with an LSN below the limit, which were compared byte by byte. */
  readonly older: number;
  /** Pages with a later LSN, which replay may still change. */
  readonly newer: number;
  /** `path block` of pages that differ though they should not. */
  readonly different: readonly string[];
}

/** Paths and sizes of all files of relations. Tablespaces are followed through their links. */
export async function relationFiles(dataDirectory: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const spaces = await readdir(join(dataDirectory, 'pg_tblspc'));
  for (const top of ['base', 'global', ...spaces.map((each) => `pg_tblspc/${each}`)])
    for (const entry of await readdir(join(dataDirectory, top), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      const path = file.slice(dataDirectory.length + 1);
      if (parseRelationPath(path) !== undefined) found.set(path, (await stat(file)).size);
    }
  return new Map([...found].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

/** Every page of `mine` whose LSN is below the limit must be in `theirs` byte for byte. */
export async function comparePages(mine: string, theirs: string, below: string): Promise<PageComparison> {
  const limit = parseLsn(below);
  const seen = { older: 0, newer: 0, different: [] as string[] };
  for (const path of (await relationFiles(mine)).keys()) {
    if (parseRelationPath(path)?.fork !== 'main') continue;
    const [ours, other] = await Promise.all([readFile(join(mine, path)), readFile(join(theirs, path))]);
    for (let at = 0; at < ours.length; at += PAGE_BYTES) {
      const page = ours.subarray(at, at + PAGE_BYTES);
      const isOlder = lsnOf(page) < limit;
      seen[isOlder ? 'older' : 'newer'] += 1;
      if (isOlder && !page.equals(other.subarray(at, at + PAGE_BYTES)))
        seen.different.push(`${path} ${at / PAGE_BYTES}`);
    }
  }
  return seen;
}

function lsnOf(page: Buffer): Lsn {
  return lsn((BigInt(page.readUInt32LE(0)) << 32n) | BigInt(page.readUInt32LE(4)));
}
