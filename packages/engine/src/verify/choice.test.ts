import type { ListedObject } from '@keyframe/repository';
import { expect, test } from 'vitest';
import { stepFor } from './choice.ts';
import type { Checked } from './memory.ts';

const object = (key = 'k', sizeBytes = 7): ListedObject => ({ key, kind: 'pack', sizeBytes, name: 'x' });
const known = (level: Checked['level'], atMs = 1000): Checked => ({ root: 'r', sizeBytes: 7, level, atMs });

test('what is not known, or known as another size or at a lesser level, is read', () => {
  expect(stepFor(object(), undefined, { level: 'outline' })).toBe('read');
  expect(stepFor(object('k', 8), known('content'), { level: 'outline' })).toBe('read');
  expect(stepFor(object(), known('outline'), { level: 'content' })).toBe('read');
});

test('what is known at this level or a deeper one is compared, until it was too long ago', () => {
  expect(stepFor(object(), known('content'), { level: 'outline' })).toBe('compare');
  expect(stepFor(object(), known('content'), { level: 'content' })).toBe('compare');
  expect(stepFor(object(), known('content', 1000), { level: 'content', sinceMs: 1000 })).toBe('compare');
  expect(stepFor(object(), known('content', 999), { level: 'content', sinceMs: 1000 })).toBe('read');
});

test('another copy in the place of the one that was read is read, where the store tells them apart', () => {
  const there = { ...object(), stamp: 5 };
  expect(stepFor(there, { ...known('content'), stamp: 5 }, { level: 'content' })).toBe('compare');
  expect(stepFor(there, { ...known('content'), stamp: 6 }, { level: 'outline' })).toBe('read');
  expect(stepFor(there, known('content'), { level: 'outline' })).toBe('read');
  expect(stepFor(object(), { ...known('content'), stamp: 6 }, { level: 'content' })).toBe('compare');
});

test('what was only hashed is read again where it can be decoded, and nowhere else', () => {
  expect(stepFor(object(), known('hashes'), { level: 'content', canDecode: true })).toBe('read');
  expect(stepFor(object(), known('hashes'), { level: 'content', canDecode: false })).toBe('compare');
  expect(stepFor(object(), known('outline'), { level: 'content', canDecode: false })).toBe('read');
  expect(stepFor(object(), known('hashes'), { level: 'outline' })).toBe('compare');
});

test('a sample reads about its share, known or not, and the same one for the same seed', () => {
  const keys = Array.from({ length: 2000 }, (_, index) => `pack-${index}`);
  const taken = (seed: number): string[] =>
    keys.filter((key) => stepFor(object(key), known('content'), { level: 'content', sample: 0.1, seed }) === 'read');
  expect(taken(1).length).toBeGreaterThan(150);
  expect(taken(1).length).toBeLessThan(250);
  expect(taken(1)).toEqual(taken(1));
  expect(taken(2)).not.toEqual(taken(1));
  expect(keys.every((key) => stepFor(object(key), undefined, { level: 'outline', sample: 1 }) === 'read')).toBe(true);
});
