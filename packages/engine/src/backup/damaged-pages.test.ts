import { lsn } from '@keyframe/contracts';
import { createPageInspector } from '@keyframe/postgres';
import { expect, it } from 'vitest';
import { DamagedPages } from './damaged-pages.ts';

const place = { path: 'base/5/1', block: 3, filePage: 3 };

function wholePage(): Buffer {
  const bytes = Buffer.alloc(8192, 7);
  bytes.fill(0, 0, 24);
  bytes.writeUInt32LE(1, 4);
  bytes.writeUInt16LE(24, 12);
  bytes.writeUInt16LE(8192, 14);
  bytes.writeUInt16LE(8192, 16);
  bytes.writeUInt16LE(8196, 18);
  bytes.writeUInt16LE(createPageInspector().checksum(bytes, place.block), 8);
  return bytes;
}

it('a page that was being written when it was read is taken from the next look', async () => {
  const whole = wholePage();
  const torn = Buffer.from(whole).fill(0, 4096);
  const looks = [torn, whole];
  const damaged = new DamagedPages(async () => looks.shift(), lsn(0x1_00_00_28n), {});
  const page = Buffer.from(torn);
  await damaged.check(place, page);
  expect([damaged.count, page.equals(whole), looks.length]).toEqual([0, true, 0]);
});

it('a page that stays damaged is left as it was read, and counted beyond what is named', async () => {
  const torn = wholePage().fill(0, 4096);
  const warnings: string[] = [];
  const damaged = new DamagedPages(async () => undefined, lsn(0x1_00_00_28n), {
    onEvent: (event) => void (event.kind === 'warning' && warnings.push(event.message)),
  });
  const page = Buffer.from(torn);
  for (let block = 0; block < 1500; block++) await damaged.check({ ...place, block }, page);
  damaged.tell();
  expect(page.equals(torn)).toBe(true);
  expect([damaged.count, damaged.list.length, warnings.length]).toEqual([1500, 1000, 20]);
  expect(damaged.list[7]).toEqual({ path: 'base/5/1', block: 7 });
});

it('a page that replay sets anew is not damaged', async () => {
  const damaged = new DamagedPages(async () => undefined, lsn(0x1_00_00_28n), {});
  for (let block = 0; block < 3; block++) await damaged.check({ ...place, block }, wholePage());
  damaged.forgive(({ block }) => block !== 1);
  expect([damaged.count, damaged.list]).toEqual([1, [{ path: 'base/5/1', block: 1 }]]);
});
