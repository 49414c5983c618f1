import { KeyframeError } from '@keyframe/contracts';
import { nearest } from './nearest.ts';

/**
 * The one that is named; without a name the only one there is.
 * @throws {KeyframeError} INVALID_OPTION
 */
export function choose<Value>(
  all: ReadonlyMap<string, Value>,
  name: string | undefined,
  what: 'cluster' | 'repository',
): Value {
  const names = [...all.keys()].join(', ');
  if (name !== undefined) {
    const found = all.get(name);
    if (found !== undefined) return found;
    const meant = nearest(name, all.keys());
    throw new KeyframeError('INVALID_OPTION', `the config file has no ${what} ${JSON.stringify(name)}`, {
      hint:
        meant === undefined ? `Use --${what} with one of: ${names}.` : `Use --${what} ${meant} (there is: ${names}).`,
      details: { [what]: name },
    });
  }
  const [only] = all.values();
  if (only !== undefined && all.size === 1) return only;
  const plural = what === 'cluster' ? 'clusters' : 'repositories';
  throw new KeyframeError('INVALID_OPTION', `the config file has ${all.size} ${plural}, and none was chosen`, {
    hint: `Use --${what} with one of: ${names}.`,
  });
}
