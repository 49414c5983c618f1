import { expect, it } from 'vitest';
import { nearest } from './nearest.ts';

it.each([
  ['bukcet', ['bucket', 'region'], 'bucket'],
  ['dir', ['directory', 'mode'], undefined],
  ['stroes', ['stores', 'compress'], 'stores'],
  ['walTimout', ['walTimeout', 'maxRate'], 'walTimeout'],
  ['valut', ['vault', 'main'], 'vault'],
  ['zzz', ['vault', 'main'], undefined],
  ['x', [], undefined],
])('%s among %j means %s', (word, known, meant) => expect(nearest(word, known)).toBe(meant));
