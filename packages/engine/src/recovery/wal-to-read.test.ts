import { parseLsn } from '@keyframe/contracts';
import { expect, test } from 'vitest';
import { walToRead } from './wal-to-read.ts';

const segments = ['2', '3', '4', '5'].map((name) => ({ name, start: parseLsn(`0/${name}000000`), timeline: 1 }));
const names = (stops: 'before' | 'after' | 'at-end', stopsAt: string, record: string): string =>
  walToRead({ segments }, { stops, stopsAt: parseLsn(stopsAt), record: parseLsn(record) })
    .map(({ name }) => name)
    .join('');

test('WAL is counted to the record that decides, not to the end of the archive', () => {
  expect(names('after', '0/3000100', '0/30000A0')).toBe('23');
  expect(names('before', '0/3000100', '0/3000100')).toBe('23');
  expect(names('at-end', '0/5000100', '0/50000A0')).toBe('2345');
});

test('a record that begins the next segment is read where recovery stops before it, and where it stops after the one before it is not', () => {
  expect(names('before', '0/4000000', '0/4000028')).toBe('234');
  expect(names('after', '0/4000000', '0/3FFFF80')).toBe('23');
});
