/**
 * Reads a directory and compresses it in frames of 256 KiB as the repository's format wants them, two at a time, and does nothing
 * else: what Node's zstd alone costs. `compress-frames.ts DIRECTORY LEVEL`
 * @packageDocumentation
 */
import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';

const FRAME_BYTES = 256 << 10;
const [directory = '.', level = '1'] = process.argv.slice(2);
const compress = promisify(zstdCompress);
const params = { [constants.ZSTD_c_compressionLevel]: Number(level), [constants.ZSTD_c_checksumFlag]: 1 };

async function* frames(): AsyncGenerator<Buffer> {
  let frame = Buffer.allocUnsafeSlow(FRAME_BYTES);
  let used = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    await using file = await open(path.join(entry.parentPath, entry.name));
    for (;;) {
      const { bytesRead } = await file.read(frame, used, FRAME_BYTES - used);
      if (bytesRead === 0) break;
      used += bytesRead;
      if (used < FRAME_BYTES) continue;
      yield frame;
      frame = Buffer.allocUnsafeSlow(FRAME_BYTES);
      used = 0;
    }
  }
  if (used > 0) yield frame.subarray(0, used);
}

const source = frames();
async function worker(): Promise<void> {
  for (let next = await source.next(); next.done !== true; next = await source.next())
    await compress(next.value, {
      params,
      pledgedSrcSize: next.value.length,
      chunkSize: next.value.length + (next.value.length >> 8) + 8192,
    });
}
await Promise.all([worker(), worker()]);
