import { createHash, randomBytes } from 'node:crypto';
import { KeyframeError, type ObjectInfo } from '@keyframe/contracts';
import { bytesOf, drain } from '@keyframe/contracts/streams';
import { describe, expect, it } from 'vitest';
import { eachItem } from './each.ts';
import { clockSkewMs, throttleDetails } from './faults.ts';
import { LostAnswers } from './lost-answers.ts';
import { partsOf } from './parts.ts';
import { verified } from './reading.ts';

const PART = 2 * 1024 * 1024 + 3;

describe('partsOf', () => {
  it.each([0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 17])(
    'cuts %i bytes into full parts and a last one, their size known or not',
    async (total) => {
      const whole = randomBytes(total);
      for (const sizeBytes of [undefined, total]) {
        const chunks = [whole.subarray(0, 5), Buffer.alloc(0), whole.subarray(5, 1_500_000), whole.subarray(1_500_000)];
        const parts = await Array.fromAsync(partsOf(bytesOf(...chunks).open(), PART, sizeBytes));
        expect(parts.map(({ last }) => last)).toEqual(parts.map((_, index) => index === parts.length - 1));
        expect(parts.slice(0, -1).every((part) => part.sizeBytes === PART)).toBe(true);
        expect(parts.at(-1)?.sizeBytes).toBe(total === 0 ? 0 : total - PART * (parts.length - 1));
        expect(Buffer.concat(parts.flatMap(({ bytes }) => bytes)).equals(whole)).toBe(true);
      }
    },
  );
});

describe('verified', () => {
  const bytes = Buffer.from('content');
  const md5 = createHash('md5').update(bytes).digest('base64');

  it('passes what is right, and tells what is short or other', async () => {
    const open = () => bytesOf(bytes).open();
    expect((await drain(verified(open(), { key: 'k', md5, sizeBytes: 7 }))).equals(bytes)).toBe(true);
    await expect(drain(verified(open(), { key: 'k', md5, sizeBytes: 8 }))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    const other = verified(open(), { key: 'k', md5: 'AAAA', sizeBytes: 7 });
    await expect(drain(other)).rejects.toMatchObject({ code: 'CORRUPT' });
  });
});

describe('LostAnswers', () => {
  const info: ObjectInfo = { key: 'k', sizeBytes: 1, modifiedAt: new Date(0) };
  const lost = new KeyframeError('UNAVAILABLE', 'reset', { details: { phase: 'request' } });
  const unsent = new KeyframeError('UNAVAILABLE', 'refused', { details: { phase: 'connect' } });
  const exists = new KeyframeError('ALREADY_EXISTS', 'there');

  /** One upload per fault; the mark of the n-th lies there when it is looked for. */
  async function uploads(
    faults: readonly (Error | undefined)[],
    there: number | 'other' | 'nothing',
  ): Promise<unknown[]> {
    const answers = new LostAnswers();
    const marks: string[] = [];
    const results: unknown[] = [];
    for (const fault of faults) {
      const put = answers.put({
        key: 'k',
        how: { ifAbsent: true },
        attempt: async (mark) => {
          marks.push(mark);
          if (fault !== undefined) throw fault;
          return info;
        },
        look: async () =>
          there === 'nothing' ? undefined : { info, mark: there === 'other' ? 'another' : marks[there] },
      });
      results.push(await put.catch((error: unknown) => (error as KeyframeError).code));
    }
    return results;
  }

  it('takes an upload for done whose mark lies there, its own or that of an attempt before', async () => {
    expect(await uploads([lost], 0)).toEqual([info]);
    expect(await uploads([lost, exists], 0)).toEqual([info, 'ALREADY_EXISTS']);
    expect(await uploads([lost, lost], 1)).toEqual(['ALREADY_EXISTS', info]);
  });

  it('never takes another’s object for its own', async () => {
    expect(await uploads([lost], 'other')).toEqual(['ALREADY_EXISTS']);
    expect(await uploads([lost, exists], 'other')).toEqual(['ALREADY_EXISTS', 'ALREADY_EXISTS']);
    expect(await uploads([exists], 'other')).toEqual(['ALREADY_EXISTS']);
  });

  it('leaves a fault as it is when nothing lies there, or nothing was sent', async () => {
    expect(await uploads([lost], 'nothing')).toEqual(['UNAVAILABLE']);
    expect(await uploads([unsent], 'other')).toEqual(['UNAVAILABLE']);
  });
});

describe('eachItem', () => {
  it('goes on after faults, and tells first what another attempt would not mend', async () => {
    const done: number[] = [];
    const work = eachItem([1, 2, 3, 4], 2, undefined, async (item) => {
      if (item === 2) throw new KeyframeError('UNAVAILABLE', 'later');
      if (item === 3) throw new KeyframeError('ACCESS_DENIED', 'never');
      done.push(item);
    });
    await expect(work).rejects.toMatchObject({ code: 'ACCESS_DENIED', details: { failed: 2 } });
    expect(done).toEqual([1, 4]);
  });
});

describe('what an answer says', () => {
  const now = new Date('2030-01-01T00:00:00Z');

  it.each([
    [429, {}, { throttled: true }],
    [503, { 'retry-after': '3' }, { throttled: true, retryAfterMs: 3_000 }],
    [503, { 'retry-after': 'Tue, 01 Jan 2030 00:00:09 GMT' }, { throttled: true, retryAfterMs: 9_000 }],
    [503, { 'x-ms-retry-after-ms': '250', 'retry-after': '1' }, { throttled: true, retryAfterMs: 250 }],
    [500, { 'retry-after': '3' }, {}],
  ])('%i with %j asks for %j', (status, headers, details) => {
    expect(throttleDetails(status, headers, now)).toEqual(details);
  });

  it('tells a clock that is off, and no other', () => {
    expect(clockSkewMs({ date: 'Mon, 31 Dec 2029 23:00:00 GMT' }, now)).toBe(3_600_000);
    expect(clockSkewMs({ date: 'Mon, 31 Dec 2029 23:59:00 GMT' }, now)).toBeUndefined();
    expect(clockSkewMs({}, now)).toBeUndefined();
  });
});
