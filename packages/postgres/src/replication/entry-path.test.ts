import { describe, expect, it } from 'vitest';
import { toBackupEntry } from './entry-path.ts';
import type { TarHeader } from './tar-header.ts';

const header = (name: string, more: Partial<TarHeader> = {}): TarHeader => ({
  name,
  type: 'file',
  mode: 0o600,
  modifiedAtSeconds: 1,
  sizeBytes: 2,
  linkName: '',
  ...more,
});

describe('toBackupEntry', () => {
  it('leaves members of the data directory where they are', () => {
    expect(toBackupEntry(header('base/1/2'), undefined)).toEqual({
      path: 'base/1/2',
      type: 'file',
      mode: 0o600,
      modifiedAtSeconds: 1,
      sizeBytes: 2,
    });
  });

  it('takes the decoration of the server off', () => {
    expect(toBackupEntry(header('./pg_wal/archive_status/', { type: 'directory' }), undefined).path).toBe(
      'pg_wal/archive_status',
    );
  });

  it('puts members of a tablespace below its link', () => {
    expect(toBackupEntry(header('PG_18_202506291/5/6'), 16_385).path).toBe('pg_tblspc/16385/PG_18_202506291/5/6');
  });

  it('keeps where a tablespace is', () => {
    const link = header('pg_tblspc/16385/', { type: 'symlink', linkName: '/srv/a' });
    expect(toBackupEntry(link, undefined)).toMatchObject({ path: 'pg_tblspc/16385', linkTarget: '/srv/a' });
  });

  it.each(['', '/', '.', '..', './', '../x', 'a/../../b', '/etc/passwd', 'a//b', 'a/./b', './../x', 'a/..', 'a\0b'])(
    'refuses the name %j',
    (name) => {
      for (const oid of [undefined, 7])
        expect(() => toBackupEntry(header(name), oid)).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
    },
  );

  it.each([
    ['base/1', undefined],
    ['pg_tblspc/7/x', undefined],
    ['pg_tblspc/x', undefined],
    ['pg_tblspc/7', 7],
  ])('refuses a symlink at %s of tablespace %s', (name, oid) => {
    const link = header(name, { type: 'symlink', linkName: '/etc' });
    expect(() => toBackupEntry(link, oid)).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
  });
});
