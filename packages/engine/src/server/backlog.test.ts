import { describe, expect, test } from 'vitest';
import { backlogBetween, walSpace } from './backlog.ts';

const MIB = 1 << 20;
const at = (atSeconds: number, archived: number, writtenSegments: number, waiting: number) => ({
  atSeconds,
  archived,
  written: writtenSegments * 16 * MIB,
  waiting,
});

describe('backlog', () => {
  test('is worked off at what is archived more than written', () => {
    expect(backlogBetween(at(100, 10, 50, 208), at(102, 30, 52, 190), 16 * MIB)).toEqual({
      files: 190,
      bytes: 190 * 16 * MIB,
      archivedFilesPerSecond: 10,
      writtenBytesPerSecond: 16 * MIB,
      secondsToCatchUp: 190 / 9,
    });
  });
  test('has no end while as much is written', () => {
    expect(backlogBetween(at(0, 0, 0, 5), at(2, 2, 2, 5), 16 * MIB).secondsToCatchUp).toBeUndefined();
    expect(backlogBetween(at(0, 0, 0, 5), at(2, 0, 0, 5), 16 * MIB).secondsToCatchUp).toBeUndefined();
  });
  test('that is gone has been caught up with', () =>
    expect(backlogBetween(at(0, 0, 0, 5), at(2, 5, 0, 0), 16 * MIB).secondsToCatchUp).toBe(0));
});

describe('space for pg_wal', () => {
  const none = { directoryFiles: 1, directoryBytes: 1, readyFiles: 0 };
  test('lasts as long as the faster of both rates lets it', () => {
    const wal = { ...none, bytesSinceReset: 3600 * MIB, secondsSinceReset: 3600 };
    expect(walSpace(3600 * MIB, wal, undefined)).toEqual({ freeBytes: 3600 * MIB, hoursToFull: 1 });
    const backlog = backlogBetween(at(0, 0, 0, 5), at(2, 0, 1, 5), 16 * MIB);
    expect(walSpace(3600 * MIB, wal, backlog)?.hoursToFull).toBe(1 / 8);
  });
  test('has no end on a server that writes nothing, and is not known elsewhere', () => {
    const wal = { ...none, bytesSinceReset: undefined, secondsSinceReset: undefined };
    expect(walSpace(5, wal, undefined)).toEqual({ freeBytes: 5, hoursToFull: undefined });
    expect(walSpace(undefined, wal, undefined)).toBeUndefined();
  });
});
