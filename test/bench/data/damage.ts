/** Pages of a stopped data directory that are made wrong, as an older copy's would be. @packageDocumentation */
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

const PAGE_BYTES = 8192;
const CLUSTER_PAGES = 256;

/** Overwrites about that share of the pages of all relations; deterministic. Gives their number. */
export async function damagePages(directory: string, share: number, clustered: boolean): Promise<number> {
  let [count, changed] = [0, 0];
  const garbage = Buffer.alloc(PAGE_BYTES, 'changed ');
  for (const entry of await readdir(path.join(directory, 'base'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/^[0-9.]+$/.test(entry.name)) continue;
    const file = path.join(entry.parentPath, entry.name);
    const pages = Math.floor((await stat(file)).size / PAGE_BYTES);
    await using handle = await open(file, 'r+');
    for (let page = 0; page < pages; page += 1, count += 1) {
      if (chance(clustered ? Math.floor(count / CLUSTER_PAGES) : count) >= share) continue;
      await handle.write(garbage, 0, PAGE_BYTES, page * PAGE_BYTES);
      changed += 1;
    }
  }
  return changed;
}

/** Between 0 and 1, the same for the same number: the finaliser of MurmurHash3. */
function chance(number: number): number {
  let hash = Math.imul(number ^ (number >>> 16), 0x85_eb_ca_6b) + 0x9e_37_79_b9;
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2_b2_ae_35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
