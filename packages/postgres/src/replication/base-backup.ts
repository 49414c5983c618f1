import { KeyframeError } from '@keyframe/contracts';
import { readText, type Row } from '../wire/backend.ts';
import type { Session } from '../wire/session.ts';
import { baseBackupCommand, hasOptionList } from './base-backup-command.ts';
import { command, type CommandHandler } from './command.ts';
import { toBackupEntry } from './entry-path.ts';
import { readLsn, readTimeline } from './fields.ts';
import { type EntrySink, IncrementalDecoder } from './incremental-decoder.ts';
import { incrementalFault } from './incremental-fault.ts';
import { TarReader } from './tar.ts';
import type { BackupTablespace, BaseBackupOptions, BaseBackupResult, BaseBackupSink } from './types.ts';
import { parseServerVersion } from './version.ts';

/** Runs BASE_BACKUP; see the interface {@link ReplicationConnection}. */
export async function baseBackup(
  session: Session,
  options: BaseBackupOptions,
  sink: BaseBackupSink,
): Promise<BaseBackupResult> {
  const versionNumber = parseServerVersion(session.parameters.get('server_version') ?? '');
  const text = baseBackupCommand(options, versionNumber);
  const files = options.incremental === true ? new IncrementalDecoder(sink) : sink;
  const receiver = new BackupReceiver({ sink, files }, hasOptionList(versionNumber), () => session.usable);
  try {
    await command(session, text, receiver, options.signal);
  } catch (error) {
    // While it streams the server notices a closed connection by itself; before that, a checkpoint may take minutes.
    if (options.signal?.aborted === true && !receiver.streaming) await session.cancel();
    throw options.incremental === true ? incrementalFault(error) : error;
  }
  return receiver.result();
}

/** Type letters of the CopyData messages from PostgreSQL 15 on. */
const MESSAGE = { newArchive: 0x6e, manifest: 0x6d, data: 0x64, progress: 0x70 } as const;
const PROGRESS_BYTES = 1 << 20;
const ARCHIVE_NAME = /^(?:base|(\d+))\.tar$/;

/** `undefined` is the data directory itself. */
type TablespaceOid = number | undefined;

/** Who takes what the server sends: `files` the members, `sink` the rest. */
interface Receivers {
  readonly sink: BaseBackupSink;
  readonly files: EntrySink;
}

/** Follows the server's answer: two result sets, archives, manifest, a last result set. */
class BackupReceiver implements CommandHandler {
  readonly #sink: BaseBackupSink;
  readonly #files: EntrySink;
  readonly #oneCopy: boolean;
  readonly #live: () => boolean;
  #rows: Row[] = [];
  /** First result set: where the backup starts. */
  #position: Row | undefined;
  #resultSets = 0;
  /** Before PostgreSQL 15: archives still to come, in the order of the second result set; then the manifest. */
  #announced: TablespaceOid[] = [];
  #archive: TarReader | undefined;
  #manifest: Buffer[] | undefined;
  /** Letter of the current message, and its text where that is short and must be whole. */
  #letter = 0;
  #text: Buffer[] = [];
  #doneBytes = 0;
  #reportedBytes = 0;
  #stop: Omit<BaseBackupResult, 'manifest'> | undefined;

  constructor({ sink, files }: Receivers, oneCopy: boolean, live: () => boolean) {
    this.#sink = sink;
    this.#files = files;
    this.#oneCopy = oneCopy;
    this.#live = live;
  }

  /** True once the first byte of an archive has come. */
  get streaming(): boolean {
    return this.#doneBytes > 0;
  }

  result(): BaseBackupResult {
    if (this.#stop === undefined || this.#manifest === undefined || this.#manifest.length === 0)
      throw unexpected('it ended without a stop position or manifest');
    return { ...this.#stop, manifest: Buffer.concat(this.#manifest) };
  }

  row(row: Row): void {
    this.#rows.push(row);
  }

  complete(): void | Promise<void> {
    const rows = this.#rows;
    this.#rows = [];
    this.#resultSets += 1;
    const [first] = rows;
    switch (this.#resultSets) {
      case 1:
        this.#position = first;
        return undefined;
      case 2:
        return this.#start(rows);
      case 3:
        this.#stop = { stopLsn: readLsn(first?.[0]), stopTimeline: readTimeline(first?.[1]) };
        this.#report(0);
        return undefined;
      default:
        return undefined;
    }
  }

  #start(rows: readonly Row[]): void | Promise<void> {
    const sizes = rows.map((row) => BigInt(row[2]?.toString() ?? '0') * 1024n);
    const tablespaces = rows.flatMap(([oid, location], index): readonly BackupTablespace[] => {
      const sizeEstimateBytes = sizes[index] ?? 0n;
      if (oid === undefined || location === undefined) return [];
      return [{ oid: Number(oid.toString()), location: location.toString(), sizeEstimateBytes }];
    });
    this.#announced = rows.map(([oid]) => (oid === undefined ? undefined : Number(oid.toString())));
    return this.#sink.start?.({
      startLsn: readLsn(this.#position?.[0]),
      timeline: readTimeline(this.#position?.[1]),
      tablespaces,
      totalEstimateBytes: sizes.reduce((sum, size) => sum + size, 0n),
    });
  }

  copyOut(): void {
    if (this.#oneCopy) return;
    if (this.#announced.length === 0) this.#manifest = [];
    else this.#open(this.#announced.shift());
  }

  copyDone(): void {
    this.#finishArchive();
  }

  copyData(view: Uint8Array, first: boolean, leftBytes: number): void | Promise<void> {
    if (!this.#oneCopy) return this.#data(view);
    if (first) this.#letter = view[0] ?? 0;
    const body = first ? view.subarray(1) : view;
    switch (this.#letter) {
      case MESSAGE.data:
        return this.#data(body);
      case MESSAGE.newArchive:
        this.#text.push(Buffer.from(body));
        if (leftBytes === 0) this.#openNamed();
        return undefined;
      case MESSAGE.manifest:
        this.#finishArchive();
        this.#manifest = [];
        return undefined;
      case MESSAGE.progress:
        return undefined; // we count ourselves, so that PostgreSQL 14 reports as well
      default:
        throw unexpected(`a message of type ${this.#letter}`);
    }
  }

  #data(view: Uint8Array): void | Promise<void> {
    if (this.#archive !== undefined) {
      this.#report(view.length);
      return this.#archive.push(view);
    }
    if (this.#manifest === undefined) throw unexpected('data without an archive');
    this.#manifest.push(Buffer.from(view));
    return undefined;
  }

  #report(bytes: number): void {
    this.#doneBytes += bytes;
    if (bytes > 0 && this.#doneBytes - this.#reportedBytes < PROGRESS_BYTES) return;
    this.#reportedBytes = this.#doneBytes;
    this.#sink.progress?.(this.#doneBytes);
  }

  #openNamed(): void {
    const { value } = readText(Buffer.concat(this.#text), 0);
    this.#text = [];
    const match = ARCHIVE_NAME.exec(value);
    if (match === null) throw unexpected(`an archive named ${JSON.stringify(value)}`);
    this.#open(match[1] === undefined ? undefined : Number(match[1]));
  }

  #open(oid: TablespaceOid): void {
    this.#finishArchive();
    const files = this.#files;
    this.#archive = new TarReader(
      {
        member: (header) => files.entry(toBackupEntry(header, oid)),
        content: (view) => files.bytes(view),
        end: () => files.end(),
      },
      this.#live,
    );
  }

  #finishArchive(): void {
    this.#archive?.finish();
    this.#archive = undefined;
  }
}

function unexpected(what: string): KeyframeError {
  return new KeyframeError('SERVER_ERROR', `the server's base backup is not as PostgreSQL sends it: ${what}`, {
    hint: 'Run `keyframe doctor`; connect to PostgreSQL itself, not through a proxy.',
  });
}
