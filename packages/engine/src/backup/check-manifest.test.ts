import { hasCode } from '@keyframe/contracts';
import { expect, it } from 'vitest';
import { assertAllFilesArrived } from './check-manifest.ts';

const manifest = Buffer.from(`{ "PostgreSQL-Backup-Manifest-Version": 2,
"System-Identifier": 7711612284838728526,
"Files": [
{ "Path": "backup_label", "Size": 227, "Last-Modified": "2026-11-24 05:54:14 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" },
{ "Encoded-Path": "ff2f", "Size": 1, "Last-Modified": "2026-11-24 05:54:14 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" },
{ "Path": "global/pg_control", "Size": 8192, "Last-Modified": "2026-11-24 05:54:14 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/3000028", "End-LSN": "0/3000120" }
],
"Manifest-Checksum": "00"}
`);

it('agrees when every named file arrived', () => {
  expect(() => assertAllFilesArrived(manifest, 3)).not.toThrow();
});

it.each([2, 4])('refuses a backup of %i files', (files) => {
  expect(() => assertAllFilesArrived(manifest, files)).toThrow(
    expect.toSatisfy((error: unknown) => hasCode(error, 'CORRUPT')),
  );
});
