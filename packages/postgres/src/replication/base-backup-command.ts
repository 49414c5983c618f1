import { KeyframeError } from '@keyframe/contracts';
import type { BaseBackupOptions } from './types.ts';

const LONGEST_LABEL_BYTES = 1023;

/** True where BASE_BACKUP takes parenthesised options and sends one COPY for everything. */
export function hasOptionList(versionNumber: number): boolean {
  return versionNumber >= 150_000;
}

/**
 * The command for a server of that version. Never asks for WAL, nor to wait for its archiving: both are the engine's.
 * @throws {KeyframeError} INVALID_OPTION, SERVER_UNSUPPORTED
 * @see https://www.postgresql.org/docs/14/protocol-replication.html
 * @see https://www.postgresql.org/docs/18/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 */
export function baseBackupCommand(options: BaseBackupOptions, versionNumber: number): string {
  if (versionNumber < 140_000)
    throw new KeyframeError('SERVER_UNSUPPORTED', `PostgreSQL ${Math.floor(versionNumber / 10_000)} is too old`, {
      hint: 'Use PostgreSQL 14 to 18; `show server_version` tells what runs.',
      details: { versionNumber },
    });
  checkLabel(options.label);
  checkRate(options.maxRateKiB);
  if (options.incremental === true) requireIncremental(versionNumber);
  const { label, checkpoint, maxRateKiB, manifestChecksums = 'CRC32C', verifyChecksums = true } = options;
  const quoted = `'${label.replaceAll("'", "''")}'`;
  const list = hasOptionList(versionNumber);
  const words = [
    `LABEL ${quoted}`,
    'PROGRESS',
    list ? `CHECKPOINT '${checkpoint}'` : checkpoint === 'fast' && 'FAST',
    list ? 'WAIT false' : 'NOWAIT',
    maxRateKiB !== undefined && `MAX_RATE ${maxRateKiB}`,
    `MANIFEST 'yes'`,
    `MANIFEST_CHECKSUMS '${manifestChecksums}'`,
    options.incremental === true && 'INCREMENTAL',
    !verifyChecksums && (list ? 'VERIFY_CHECKSUMS false' : 'NOVERIFY_CHECKSUMS'),
  ].filter((word) => word !== false);
  return list ? `BASE_BACKUP (${words.join(', ')})` : `BASE_BACKUP ${words.join(' ')}`;
}

/** @throws {KeyframeError} SERVER_UNSUPPORTED */
export function requireIncremental(versionNumber: number): void {
  if (versionNumber >= 170_000) return;
  throw new KeyframeError(
    'SERVER_UNSUPPORTED',
    `PostgreSQL ${Math.floor(versionNumber / 10_000)} sends no incremental base backups`,
    { hint: 'Let `keyframe backup` choose how to read, or upgrade to PostgreSQL 17.', details: { versionNumber } },
  );
}

/** @throws {KeyframeError} INVALID_OPTION */
export function checkLabel(label: string): void {
  // The label is a line of backup_label: a line break in it would make two.
  if (/\p{Cc}/u.test(label) || Buffer.byteLength(label) > LONGEST_LABEL_BYTES)
    throw new KeyframeError('INVALID_OPTION', 'the backup label has control characters or more than 1023 bytes', {
      hint: 'Give `keyframe backup` a shorter label of one line.',
    });
}

function checkRate(maxRateKiB: number | undefined): void {
  if (maxRateKiB === undefined) return;
  if (!Number.isInteger(maxRateKiB) || maxRateKiB < 32 || maxRateKiB > 1_048_576)
    throw new KeyframeError('INVALID_OPTION', `a rate of ${maxRateKiB} KiB/s is outside what the server takes`, {
      hint: 'Set the rate limit of the backup to 32 KiB/s up to 1 GiB/s.',
    });
}
