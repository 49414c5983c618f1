import { createHash } from 'node:crypto';
import { parseLsn } from '@keyframe/contracts';
import { crc32c } from '@keyframe/wal';
import { describe, expect, it } from 'vitest';
import { type ManifestFile, writeBackupManifest } from './backup-manifest.ts';

const FACTS = {
  systemIdentifier: '18446744073709551615',
  major: 18,
  walRanges: [{ timeline: 1, startLsn: parseLsn('0/2000028'), endLsn: parseLsn('0/2000120') }],
};

async function write(files: readonly ManifestFile[], facts = FACTS): Promise<string> {
  return Buffer.concat(await Array.fromAsync(writeBackupManifest(files, facts))).toString();
}

describe('writeBackupManifest', () => {
  it('writes what PostgreSQL writes', async () => {
    const label = {
      path: 'backup_label',
      sizeBytes: 3,
      modifiedAtSeconds: 1_726_218_782,
      crc32c: crc32c(Buffer.from('abc')),
    };
    const odd = { path: 'base/"\u0001\\é', sizeBytes: 0, modifiedAtSeconds: 0 };
    const lines = [
      '{ "PostgreSQL-Backup-Manifest-Version": 2,',
      '"System-Identifier": 18446744073709551615,',
      '"Files": [',
      '{ "Path": "backup_label", "Size": 3, "Last-Modified": "2024-09-13 09:13:02 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "b73f4b36" },',
      String.raw`{ "Path": "base/\"\u0001\\é", "Size": 0, "Last-Modified": "1970-01-01 00:00:00 GMT" }`,
      '],',
      '"WAL-Ranges": [',
      '{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000120" }',
      '],',
      '',
    ].join('\n');
    const hash = createHash('sha256').update(lines).digest('hex');
    expect(await write([label, odd])).toBe(`${lines}"Manifest-Checksum": "${hash}"}\n`);
  });

  it('is JSON, whatever the number of files and ranges', async () => {
    const files = Array.from({ length: 5000 }, (_, index) => ({
      path: `base/5/${index}`,
      sizeBytes: 1,
      modifiedAtSeconds: 1,
    }));
    const ranges = [...FACTS.walRanges, ...FACTS.walRanges];
    for (const count of [0, 1, 5000]) {
      const text = await write(files.slice(0, count), { ...FACTS, walRanges: ranges });
      expect(JSON.parse(text)).toMatchObject({ Files: { length: count }, 'WAL-Ranges': { length: 2 } });
    }
  });

  it('names no system before 17', async () => {
    expect(await write([], { ...FACTS, major: 16 })).toMatch(/^\{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files"/);
  });
});
