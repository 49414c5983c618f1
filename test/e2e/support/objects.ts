/** Stored objects whose places tests know, and that are put back when a test is done with them. @packageDocumentation */
import { cp, readFile, rm } from 'node:fs/promises';

/** One byte of each region of a container. */
export async function regionsOf(path: string): Promise<Readonly<Record<string, number>>> {
  const bytes = await readFile(path);
  const footer = bytes.subarray(-160);
  const table = Number(footer.readBigUInt64LE(16));
  const firstFrame = Number(bytes.readBigUInt64LE(table));
  const frames = footer.readUInt32LE(24);
  // A frame in the middle: of a manifest not the list of packs, which every run reads.
  const middle = Number(bytes.readBigUInt64LE(table + 48 * Math.min(2, frames - 1)));
  return { header: firstFrame - 5, frame: middle + 40, table: table + 30, footer: bytes.length - 100 };
}

/** Out of the way until disposal. */
export async function moved(path: string): Promise<AsyncDisposable> {
  const aside = await kept(path);
  await rm(path, { recursive: true });
  return aside;
}

/** Put back as it was at disposal, whatever happened to it. */
export async function kept(path: string): Promise<AsyncDisposable> {
  const copy = `${path}.kept`.replace('/repository/', '/');
  await cp(path, copy, { recursive: true });
  return {
    [Symbol.asyncDispose]: async () => {
      await rm(path, { recursive: true, force: true });
      await cp(copy, path, { recursive: true });
      await rm(copy, { recursive: true });
    },
  };
}
