import { createHash } from 'node:crypto';
import { lsn } from '@keyframe/contracts';
import { expect, it } from 'vitest';
import { FileList, type ListedBackup, type ListedFile } from './file-list.ts';

const backup: ListedBackup = {
  postgresVersion: 180_006,
  systemIdentifier: '7600000000000000001',
  timeline: 2,
  startLsn: lsn(0x2_00_00_28n),
  stopLsn: lsn(0x2_00_01_20n),
};
const files: readonly ListedFile[] = [
  { path: 'base/5/1', sizeBytes: 8192, modifiedAtSeconds: 1_700_000_000 },
  { path: 'pg_tblspc/1/a "b"', rawPath: Buffer.from([0x61, 0xe9]), sizeBytes: 0, modifiedAtSeconds: 0 },
  { path: 'backup_manifest', sizeBytes: 1, modifiedAtSeconds: 0 },
];

function listed(change: Partial<ListedBackup> = {}): string {
  const list = new FileList({ ...backup, ...change });
  for (const file of files) list.add(file);
  return list.finish({ ...backup, ...change }).toString();
}

it('a manifest is written as PostgreSQL writes it, and ends with the hash of what comes before', () => {
  const text = listed();
  expect(JSON.parse(text)).toMatchObject({
    'PostgreSQL-Backup-Manifest-Version': 2,
    Files: [
      { Path: 'base/5/1', Size: 8192, 'Last-Modified': '2023-11-14 22:13:20 GMT' },
      { 'Encoded-Path': '61e9', Size: 0, 'Last-Modified': '1970-01-01 00:00:00 GMT' },
    ],
    'WAL-Ranges': [{ Timeline: 2, 'Start-LSN': '0/2000028', 'End-LSN': '0/2000120' }],
  });
  // The identifier is no number of JavaScript.
  expect(text).toContain('"System-Identifier": 7600000000000000001,\n');
  const end = text.indexOf('"Manifest-Checksum"');
  const hash = createHash('sha256').update(text.slice(0, end)).digest('hex');
  expect(text.slice(end)).toBe(`"Manifest-Checksum": "${hash}"}\n`);
});

it('before PostgreSQL 17 it names no system identifier', () => {
  expect(JSON.parse(listed({ postgresVersion: 160_015 }))).not.toHaveProperty('System-Identifier');
});
