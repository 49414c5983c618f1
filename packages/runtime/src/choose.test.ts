import { KeyframeError } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import { choose } from './choose.ts';

describe('choosing a cluster', () => {
  const one = new Map([['main', 1]]);
  const two = new Map([
    ['main', 1],
    ['other', 2],
  ]);
  const hint = (call: () => unknown): string | undefined => {
    try {
      call();
    } catch (error) {
      if (error instanceof KeyframeError && error.code === 'INVALID_OPTION') return error.hint;
    }
    return undefined;
  };

  it('takes the only one', () => expect(choose(one, undefined, 'cluster')).toBe(1));
  it('takes the named one', () => expect(choose(two, 'other', 'cluster')).toBe(2));
  it('asks when there are several', () =>
    expect(hint(() => choose(two, undefined, 'cluster'))).toBe('Use --cluster with one of: main, other.'));
  it('names what was meant', () =>
    expect(hint(() => choose(two, 'othr', 'cluster'))).toBe('Use --cluster other (there is: main, other).'));
  it('names what was meant by an argument, which is no option', () => {
    expect(hint(() => choose(two, 'mian', 'repository', 'argument'))).toBe('Write main (there is: main, other).');
    expect(hint(() => choose(two, 'else', 'repository', 'argument'))).toBe('Name one of `repositories`: main, other.');
  });
});
