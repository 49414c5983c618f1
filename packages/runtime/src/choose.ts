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
  given: 'option' | 'argument' = 'option',
): Value {
  const names = [...all.keys()].join(', ');
  if (name !== undefined) {
    const found = all.get(name);
    if (found !== undefined) return found;
    const meant = nearest(name, all.keys());
    throw new KeyframeError('INVALID_OPTION', `the config file has no ${what} ${JSON.stringify(name)}`, {
      hint: given === 'argument' ? nameOne(meant, names) : useOne(what, meant, names),
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

function useOne(what: string, meant: string | undefined, names: string): string {
  return meant === undefined ? `Use --${what} with one of: ${names}.` : `Use --${what} ${meant} (there is: ${names}).`;
}

function nameOne(meant: string | undefined, names: string): string {
  return meant === undefined ? `Name one of \`repositories\`: ${names}.` : `Write ${meant} (there is: ${names}).`;
}
