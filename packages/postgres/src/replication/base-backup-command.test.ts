import { describe, expect, it } from 'vitest';
import { baseBackupCommand } from './base-backup-command.ts';
import type { BaseBackupOptions } from './types.ts';

const plain: BaseBackupOptions = { label: 'nightly', checkpoint: 'spread' };
const full: BaseBackupOptions = {
  label: "it's",
  checkpoint: 'fast',
  maxRateKiB: 1024,
  manifestChecksums: 'SHA256',
  verifyChecksums: false,
};

describe('baseBackupCommand', () => {
  it('speaks the grammar of PostgreSQL 14', () => {
    expect(baseBackupCommand(plain, 140_023)).toBe(
      "BASE_BACKUP LABEL 'nightly' PROGRESS NOWAIT MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'",
    );
    expect(baseBackupCommand(full, 140_000)).toBe(
      "BASE_BACKUP LABEL 'it''s' PROGRESS FAST NOWAIT MAX_RATE 1024 MANIFEST 'yes' MANIFEST_CHECKSUMS 'SHA256' NOVERIFY_CHECKSUMS",
    );
  });

  it.each([150_000, 180_006])('speaks the grammar of %i', (version) => {
    expect(baseBackupCommand(plain, version)).toBe(
      "BASE_BACKUP (LABEL 'nightly', PROGRESS, CHECKPOINT 'spread', WAIT false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')",
    );
    expect(baseBackupCommand(full, version)).toBe(
      "BASE_BACKUP (LABEL 'it''s', PROGRESS, CHECKPOINT 'fast', WAIT false, MAX_RATE 1024, MANIFEST 'yes', MANIFEST_CHECKSUMS 'SHA256', VERIFY_CHECKSUMS false)",
    );
  });

  it('refuses a server that is too old', () => {
    expect(() => baseBackupCommand(plain, 130_010)).toThrow(expect.objectContaining({ code: 'SERVER_UNSUPPORTED' }));
  });

  it.each([
    { label: 'two\nlines' },
    { label: 'x\0y' },
    { label: 'x'.repeat(1024) },
    { maxRateKiB: 31 },
    { maxRateKiB: 1_048_577 },
    { maxRateKiB: 1.5 },
    { maxRateKiB: Number.NaN },
  ])('refuses %j', (change) => {
    expect(() => baseBackupCommand({ ...plain, ...change }, 180_000)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });
});
