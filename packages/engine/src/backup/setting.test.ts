import { hasCode } from '@keyframe/contracts';
import { expect, it } from 'vitest';
import { bytesOfSetting } from './setting.ts';

it('reads sizes as SHOW prints them', () => {
  expect(['1MB', '16MB', '1GB', '512kB'].map((text) => bytesOfSetting('wal_segment_size', text))).toEqual([
    1 << 20,
    16 << 20,
    1 << 30,
    512 << 10,
  ]);
});

it('refuses what is no size, rather than assume 16 MiB', () => {
  for (const text of ['', '16', '16 mb', 'on', '16MB;'])
    expect(() => bytesOfSetting('wal_segment_size', text)).toThrow(
      expect.toSatisfy((error: unknown) => hasCode(error, 'SERVER_ERROR')),
    );
});
