import { lsn } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import { describeTarget, parseTarget, stopOf, type TargetOptions } from './recovery-target.ts';

const parse = (options: TargetOptions) => parseTarget(options, { now: () => new Date(0), localZone: 'UTC' });

const TIME = '2026-11-24 14:36:58+01';
const UTC = '2026-11-24 13:36:58+00';

describe('parseTarget', () => {
  it.each<[TargetOptions, object, object, string]>([
    [
      { time: TIME },
      { kind: 'time', inclusive: true, text: TIME, utc: UTC, micros: 1_795_527_418_000_000n },
      { kind: 'time', inclusive: true, time: UTC },
      `time ${TIME} (${UTC})`,
    ],
    [
      { time: '2026-11-24 13:36:58', timeZone: 'UTC', exclusive: true },
      { kind: 'time', inclusive: false, utc: UTC },
      { kind: 'time', inclusive: false, time: UTC },
      `just before time 2026-11-24 13:36:58 (${UTC})`,
    ],
    [
      { xid: '7431' },
      { kind: 'xid', inclusive: true, xid: 7431 },
      { kind: 'xid', xid: 7431, inclusive: true },
      'transaction 7431',
    ],
    [
      { xid: '7431', exclusive: true },
      { kind: 'xid', inclusive: false, xid: 7431 },
      { kind: 'xid', xid: 7431, inclusive: false },
      'just before transaction 7431',
    ],
    [
      { beforeXid: String(2n ** 32n * 5n + 7431n) },
      { kind: 'xid', inclusive: false, xid: 7431 },
      { kind: 'xid', xid: 7431, inclusive: false },
      'just before transaction 7431',
    ],
    [
      { lsn: '16/b374d848', timeline: 3 },
      { kind: 'lsn', inclusive: true, lsn: lsn(0x16_b3_74_d8_48n), timeline: 3 },
      { kind: 'lsn', lsn: lsn(0x16_b3_74_d8_48n), inclusive: true },
      'LSN 16/B374D848',
    ],
    [
      { name: 'before migration' },
      { kind: 'name', name: 'before migration' },
      { kind: 'name', name: 'before migration' },
      'restore point "before migration"',
    ],
    [{ immediate: true, latest: false }, { kind: 'immediate' }, { kind: 'immediate' }, 'the end of the backup'],
    [{ latest: true }, { kind: 'latest' }, { kind: 'latest' }, 'the end of the archived WAL'],
  ])('reads %o', (options, target, stop, text) => {
    const parsed = parse(options);
    expect(parsed).toMatchObject(target);
    expect(stopOf(parsed)).toEqual(stop);
    expect(describeTarget(parsed)).toBe(text);
  });

  it('names the options that were combined', () => {
    expect(() => parse({ time: TIME, beforeXid: '5' })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining('--time and --before-xid') }),
    );
  });

  it.each<[string, TargetOptions]>([
    ['none', {}],
    ['none, a timeline alone', { timeline: 2 }],
    ['an empty name', { name: '' }],
    ['a name of 64 bytes', { name: 'ü'.repeat(32) }],
    ['a word for an xid', { xid: 'abc' }],
    ['a negative xid', { xid: '-5' }],
    ['an xid of PostgreSQL itself', { xid: '2' }],
    ['an xid of more than 64 bits', { xid: String(2n ** 64n + 5n) }],
    ['no LSN', { lsn: '16-B374D848' }],
    ['timeline 0', { latest: true, timeline: 0 }],
    ['half a timeline', { latest: true, timeline: 1.5 }],
    ['an exclusive name', { name: 'x', exclusive: true }],
    ['an exclusive end', { latest: true, exclusive: true }],
    ['a doubly exclusive xid', { beforeXid: '5', exclusive: true }],
    ['a zone without a time', { xid: '5', timeZone: 'UTC' }],
  ])('refuses %s', (_, options) => {
    expect(() => parse(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
