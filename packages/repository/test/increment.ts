import type { BackupRecord, BackupType, BaseFiles, EpochArchive, FileSink } from '../src/index.ts';
import { FACTS, INTENT, type Tree } from './support.ts';

const PAGE_BYTES = 8192;

/** How an increment is taken in a test. */
export interface IncrementOptions {
  /** Whether the bytes of kept pages are at hand. Default true. */
  readonly views?: boolean | undefined;
  /** A full backup keeps nothing by page; it only compares content. Default `incremental`. */
  readonly type?: BackupType | undefined;
  readonly reuse?: boolean | undefined;
}

/** Backs a tree up on the base of another backup, as an engine does: pages equal to the old ones are kept. */
export async function increment(
  archive: EpochArchive,
  parent: BackupRecord,
  tree: Tree,
  options: IncrementOptions = {},
  known?: BaseFiles,
): Promise<BackupRecord> {
  const { type = 'incremental', reuse, views = true } = options;
  const base = known ?? (await archive.backups.base(parent));
  const old = type === 'full' ? new Map<string, Buffer>() : await contentsOf(archive, parent);
  const writer = await archive.backups.begin({ ...INTENT, type, parent: parent.label }, { base, reuse });
  const common = { mode: 0o600, modifiedAtSeconds: 1_763_600_000 };
  for (const [path, content] of tree) {
    if (path.endsWith('/')) await writer.directory({ ...common, path: path.slice(0, -1), mode: 0o700 });
    else if (typeof content === 'string') await writer.symlink({ ...common, path, linkTarget: content });
    else {
      const sink = writer.file({ ...common, path, sizeBytes: content.length }, await base.find(path));
      await writePages(sink, content, old.get(path), views);
    }
  }
  return writer.publish(await writer.finish(FACTS));
}

async function writePages(sink: FileSink, content: Uint8Array, old: Buffer | undefined, views: boolean): Promise<void> {
  for (const [start, end, isSame] of runsOf(content, old)) {
    const view = content.subarray(start, end);
    if (isSame) await sink.keep(end - start, views ? view : undefined);
    else await sink.write(view);
  }
  await sink.end();
}

/** Runs of pages that are, or are not, as they were. */
function* runsOf(content: Uint8Array, old: Buffer | undefined): Generator<[number, number, boolean]> {
  const isSame = (at: number): boolean => {
    const end = Math.min(at + PAGE_BYTES, content.length);
    return old !== undefined && end <= old.length && old.subarray(at, end).equals(content.subarray(at, end));
  };
  for (let start = 0; start < content.length;) {
    const same = isSame(start);
    let end = start + PAGE_BYTES;
    while (end < content.length && isSame(end) === same) end += PAGE_BYTES;
    yield [start, Math.min(end, content.length), same];
    start = end;
  }
}

async function contentsOf(archive: EpochArchive, record: BackupRecord): Promise<Map<string, Buffer>> {
  const contents = new Map<string, Buffer>();
  await archive.backups.read(record, {
    entry: ({ type, path, sizeBytes }) => {
      if (type === 'file') contents.set(path, Buffer.alloc(sizeBytes));
    },
    write: ({ path }, offset, data) => contents.get(path)?.set(data, offset),
    done: () => undefined,
  });
  return contents;
}
