/** Reads a server's log while it grows, and says what it means. @packageDocumentation */
import { open, stat } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { KeyframeError, type Lsn, parseLsn } from '@keyframe/contracts';

/** Lines that were added to a file since the last look. */
export interface LogTail {
  /** Whole lines since the last call; with `all`, also an unfinished last one. */
  read(all?: boolean): Promise<readonly string[]>;
  /** The last lines read so far, oldest first; at most 200. */
  readonly recent: readonly string[];
}

const KEPT = 200;
const CHUNK = 64 << 10;

/** Size of a file now, 0 when absent: where a tail of what comes next begins. */
export async function endOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return 0;
      throw error;
    },
  );
}

/** Follows `file` from byte `start`. */
export function followLog(file: string, start: number): LogTail {
  const decoder = new StringDecoder('utf8');
  const recent: string[] = [];
  let position = start;
  let partial = '';
  const read = async (all = false): Promise<readonly string[]> => {
    const end = await endOf(file);
    if (end > position) {
      await using handle = await open(file, 'r');
      const buffer = Buffer.alloc(CHUNK);
      for (let got = 1; got > 0 && position < end; position += got) {
        got = (await handle.read(buffer, 0, CHUNK, position)).bytesRead;
        partial += decoder.write(buffer.subarray(0, got));
      }
    }
    const lines = partial.split('\n');
    partial = all ? '' : (lines.pop() ?? '');
    const whole = lines.filter((line) => line !== '');
    recent.push(...whole);
    recent.splice(0, recent.length - KEPT);
    return whole;
  };
  return { read, recent };
}

/** What a log line tells about a recovery. Only the untranslated messages are understood. */
export type RecoveryNews =
  | { readonly kind: 'restored'; readonly file: string }
  | { readonly kind: 'position'; readonly lsn: Lsn }
  | { readonly kind: 'consistent'; readonly lsn: Lsn }
  | { readonly kind: 'stopped'; readonly text: string }
  | { readonly kind: 'paused' }
  | { readonly kind: 'promoted'; readonly timeline: number };

const NEWS: readonly (readonly [RegExp, (match: string) => RecoveryNews])[] = [
  [/restored log file "([^"]+)" from archive/, (file) => ({ kind: 'restored', file })],
  [/redo starts at ([0-9A-F]+\/[0-9A-F]+)/, (text) => ({ kind: 'position', lsn: parseLsn(text) })],
  [/redo in progress, .*current LSN: ([0-9A-F]+\/[0-9A-F]+)/, (text) => ({ kind: 'position', lsn: parseLsn(text) })],
  [
    /consistent recovery state reached at ([0-9A-F]+\/[0-9A-F]+)/,
    (text) => ({ kind: 'consistent', lsn: parseLsn(text) }),
  ],
  [/(recovery stopping (?:before|after|at) .*)/, (text) => ({ kind: 'stopped', text })],
  [/redo done at ([0-9A-F]+\/[0-9A-F]+)/, (text) => ({ kind: 'position', lsn: parseLsn(text) })],
  [/(pausing at the end of recovery|recovery has paused)/, () => ({ kind: 'paused' })],
  [/selected new timeline ID: (\d+)/, (text) => ({ kind: 'promoted', timeline: Number(text) })],
];

/** News of one log line, if any. */
export function readNews(line: string): RecoveryNews | undefined {
  for (const [pattern, read] of NEWS) {
    const found = pattern.exec(line)?.[1];
    if (found !== undefined) return read(found);
  }
  return undefined;
}

const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /recovery ended before configured recovery target was reached/,
    'Choose an earlier target: `keyframe plan` shows the last moment that can be reached.',
  ],
  [/multiple recovery targets/, 'Remove the recovery_target settings from postgresql.conf and its includes.'],
  [
    /could not restore file|restore_command|terminated by signal|child process exited with exit code/,
    'Run the restore_command by hand to see why it fails: `keyframe wal fetch`; then start the server again.',
  ],
  [
    /is not a child of this server's history|does not contain minimum recovery point/,
    'Choose another `--timeline`: `keyframe plan` lists those that contain the backup.',
  ],
  [
    /insufficient parameter settings|hot standby is not possible/,
    'Raise the named setting to the value the primary has.',
  ],
  [/could not bind|Address already in use|could not create any TCP\/IP sockets/, 'Choose a free port by `--port`.'],
  [
    /lock file ".*" already exists|pre-existing shared memory/,
    'Stop the other server first: `pg_ctl -D <directory> stop`.',
  ],
  [
    /has wrong ownership|has invalid permissions/,
    'Run keyframe as the owner of the data directory, and set its mode to 0700.',
  ],
  [
    /could not access file|could not load library/,
    'Install the extension that shared_preload_libraries names, for this PostgreSQL.',
  ],
  [
    /incompatible with server|initialized by PostgreSQL version/,
    'Name a PostgreSQL of the right major by `--bin-dir`.',
  ],
  [/could not map anonymous shared memory|could not create shared memory/, 'Lower shared_buffers in postgresql.conf.'],
  [/No space left on device/, 'Free disk space below the data directory, then run `keyframe restore` again.'],
  [
    /could not locate (?:a valid|required) checkpoint record/,
    'Restore again with `keyframe restore`: backup_label or the first WAL segment is missing.',
  ],
];

/** Why a server ended, from the last lines of its log: its last FATAL or PANIC with DETAIL, and what to do. */
export function explainExit(lines: readonly string[], status: string, logFile: string): KeyframeError {
  const faults = lines.flatMap((line, index) => {
    const message = faultOf(line);
    return message === undefined ? [] : [{ message, detail: detailOf(message, lines, index) }];
  });
  // "terminating connection due to …" and "the database system is …" are answers to clients, not the reason.
  const last =
    faults.findLast(({ message }) => !/^(?:the database system is|terminating )/.test(message)) ?? faults.at(-1);
  const reason = last?.message ?? lines.at(-1) ?? 'it wrote nothing to its log';
  const text = last?.detail === undefined ? reason : `${reason} (${last.detail})`;
  const around = lines.slice(-20).join('\n');
  const hint =
    HINTS.find(([pattern]) => pattern.test(text))?.[1] ?? HINTS.find(([pattern]) => pattern.test(around))?.[1];
  return new KeyframeError('RECOVERY_FAILED', `the server ended with ${status}: ${text}`, {
    hint: hint ?? `Read the server's log with \`tail ${logFile}\`.`,
    details: { status, logFile, log: around },
  });
}

/** What stands behind a fatal line; for a wrong configuration file it stands before. */
function detailOf(message: string, lines: readonly string[], index: number): string | undefined {
  if (/^configuration file .* contains errors$/.test(message))
    return /(?:LOG|ERROR): {2}(.*)$/.exec(lines[index - 1] ?? '')?.[1];
  return /DETAIL: {2}(.*)$/.exec(lines[index + 1] ?? '')?.[1];
}

/** The message of a fatal line, in each of the forms of log_destination. */
function faultOf(line: string): string | undefined {
  const plain = /(?:FATAL|PANIC): {2}(.*)$/.exec(line)?.[1];
  if (plain !== undefined) return plain;
  const csv = /,(?:FATAL|PANIC),[0-9A-Z]{5},"((?:[^"]|"")*)"/.exec(line)?.[1];
  if (csv !== undefined) return csv.replaceAll('""', '"');
  const json = /"error_severity":"(?:FATAL|PANIC)".*?"message":("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
  return json === undefined ? undefined : String(JSON.parse(json));
}
