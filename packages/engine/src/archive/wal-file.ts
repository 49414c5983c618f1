/** Reading a WAL file that PostgreSQL offers: what it is, whose it is, and whether its name tells the truth. @packageDocumentation */
import { open, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  type ByteSource,
  formatLsn,
  KeyframeError,
  parseWalFileName,
  segmentStart,
  type WalFileName,
} from '@keyframe/contracts';
import { parseTimelineHistory, readControlFile } from '@keyframe/postgres';
import type { WalReader } from '@keyframe/repository';
import { readSegmentHeader, type SegmentHeader } from '@keyframe/wal';

/** A WAL file on disk, checked against its own name. */
export interface OfferedWalFile {
  readonly file: WalFileName;
  readonly path: string;
  readonly content: ByteSource;
  /** The same bytes, into memory of whoever reads them. */
  readonly reader: () => Promise<WalReader>;
  readonly systemIdentifier: string;
  /** Absent for history and backup files: these carry none. */
  readonly segmentSizeBytes: number | undefined;
  /** `server_version_num` as far as the file tells: the major alone, e.g. 180000. 0 when unknown. */
  readonly postgresVersion: number;
}

const READ_BYTES = 1 << 20;
/** Enough to notice that a file has grown. */
const END_BYTES = 4096;

/** A file as a re-openable source. */
function fileSource(path: string, sizeBytes: number): ByteSource {
  return {
    sizeBytes,
    open: async function* () {
      await using handle = await open(path, 'r');
      for (let at = 0; ;) {
        const wanted = at < sizeBytes ? Math.min(READ_BYTES, sizeBytes - at) : END_BYTES;
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(wanted), 0, wanted, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    },
  };
}

/**
 * Opens what archive_command was given as `%p` and checks it: a name PostgreSQL uses, a whole segment, a header that agrees with the name.
 * @throws {KeyframeError} WAL_INVALID, NOT_FOUND, ACCESS_DENIED
 */
export async function openWalFile(path: string): Promise<OfferedWalFile> {
  const name = basename(path);
  const file = parseWalFileName(name);
  if (file === undefined)
    throw new KeyframeError('WAL_INVALID', `${JSON.stringify(name)} is not the name of a WAL file`, {
      hint: "Use archive_command as `keyframe setup` prints it: its last argument is '%p'.",
    });
  const sizeBytes = await sizeOf(path);
  const content = fileSource(path, sizeBytes);
  const reader = (): Promise<WalReader> => open(path, 'r');
  if (file.kind === 'segment' || file.kind === 'partial') {
    const header = await segmentHeader(path, file, sizeBytes);
    const postgresVersion = (header.postgresMajor ?? 0) * 10_000;
    return { file, path, content, reader, postgresVersion, ...pick(header) };
  }
  if (file.kind === 'history') checkHistory(name, file.timeline, await readFile(path, 'utf8'));
  const control = await controlBeside(path);
  return { file, path, content, reader, segmentSizeBytes: undefined, ...control };
}

const pick = ({ systemIdentifier, segmentSizeBytes }: SegmentHeader) => ({ systemIdentifier, segmentSizeBytes });

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new KeyframeError(cause.code === 'EACCES' ? 'ACCESS_DENIED' : 'NOT_FOUND', `cannot open WAL file ${path}`, {
      cause,
      hint: 'Run `keyframe wal push` in the data directory as the user that owns it, as PostgreSQL does.',
    });
  });
  return found.size;
}

async function segmentHeader(
  path: string,
  file: Extract<WalFileName, { kind: 'segment' | 'partial' }>,
  sizeBytes: number,
): Promise<SegmentHeader> {
  await using handle = await open(path, 'r');
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(64), 0, 64, 0);
  const header = readSegmentHeader(buffer.subarray(0, bytesRead));
  const invalid = (why: string): KeyframeError =>
    new KeyframeError('WAL_INVALID', `WAL file ${file.name} ${why}`, {
      hint: 'Keep the file in pg_wal and check the server log and the disk: PostgreSQL would not replay it.',
      details: { path },
    });
  if (sizeBytes !== header.segmentSizeBytes)
    throw invalid(`has ${sizeBytes} bytes, its header says segments of ${header.segmentSizeBytes} bytes`);
  const start = segmentStart(file, header.segmentSizeBytes);
  if (header.pageAddress !== start)
    throw invalid(`begins at ${formatLsn(header.pageAddress)} by its header, at ${formatLsn(start)} by its name`);
  // The first segment of a timeline begins with pages copied from the parent, so an older timeline inside is right.
  if (header.timeline > file.timeline) throw invalid(`belongs to timeline ${header.timeline} by its header`);
  return header;
}

function checkHistory(name: string, timeline: number, text: string): void {
  const history = parseTimelineHistory(name, text);
  if (history.timeline === timeline) return;
  throw new KeyframeError('WAL_INVALID', `timeline history file ${name} does not describe timeline ${timeline}`);
}

/** History and backup files do not say whose they are; the control file of the data directory they lie in does. */
async function controlBeside(path: string): Promise<{ systemIdentifier: string; postgresVersion: number }> {
  const control = join(dirname(dirname(path)), 'global', 'pg_control');
  const bytes = await readFile(control).catch((cause: unknown) => {
    throw new KeyframeError(
      'WAL_INVALID',
      `cannot tell which database cluster ${basename(path)} belongs to: no ${control}`,
      {
        cause,
        hint: 'Push it from the data directory: cd $PGDATA && keyframe wal push pg_wal/<file>.',
      },
    );
  });
  const { systemIdentifier, postgresMajor } = readControlFile(bytes);
  return { systemIdentifier, postgresVersion: (postgresMajor ?? 0) * 10_000 };
}
