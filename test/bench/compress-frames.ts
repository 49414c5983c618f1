/**
 * Reads a directory and compresses it in frames of 256 KiB by Keyframe's own compressor, and does nothing else: the part of a
 * backup's CPU that is the codec's. `compress-frames.ts DIRECTORY LEVEL`
 * @packageDocumentation
 */
import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import zstd from '@keyframe/compress-zstd';
import { testHost } from '@keyframe/testkit';

const FRAME_BYTES = 256 << 10;
const AT_ONCE = 4;
const [directory = '.', level = '1'] = process.argv.slice(2);
const compressor = zstd.create({ level: Number(level) }, testHost());

/** Fills the buffer it is given each time with the next bytes of the files, and tells how many. */
async function* reader(): AsyncGenerator<number, void, Buffer> {
  let frame = yield 0;
  let used = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.parentPath.endsWith('pg_wal')) continue;
    await using file = await open(path.join(entry.parentPath, entry.name));
    for (;;) {
      const { bytesRead } = await file.read(frame, used, FRAME_BYTES - used);
      if (bytesRead === 0) break;
      used += bytesRead;
      if (used < FRAME_BYTES) continue;
      frame = yield used;
      used = 0;
    }
  }
  if (used > 0) yield used;
}

const source = reader();
await source.next(Buffer.alloc(0));

async function worker(): Promise<void> {
  const frame = Buffer.allocUnsafeSlow(FRAME_BYTES);
  for (let next = await source.next(frame); next.done !== true; next = await source.next(frame))
    await compressor.compress(frame.subarray(0, next.value));
}
await Promise.all(Array.from({ length: AT_ONCE }, worker));
