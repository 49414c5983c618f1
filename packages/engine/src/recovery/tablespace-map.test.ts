import { hasCode } from '@keyframe/contracts';
import { expect, it } from 'vitest';
import { parseTablespaceMap } from './tablespace-map.ts';

const backup = {
  label: 'b',
  tablespaces: [
    { oid: 16400, location: '/srv/a=b' },
    { oid: 16401, location: '/srv/c' },
  ],
};

it('takes an oid or the old directory', () => {
  expect([...parseTablespaceMap(['16401=/new/c', String.raw`/srv/a\=b=/new/a\=b`], backup)]).toEqual([
    [16401, '/new/c'],
    [16400, '/new/a=b'],
  ]);
});

it.each(['16400', '16400=', '16400=relative', '9=/x', '/srv/a=b=/x'])('refuses %s', (pair) => {
  expect(() => parseTablespaceMap([pair], backup)).toThrow(
    expect.toSatisfy((error: unknown) => hasCode(error, 'INVALID_OPTION')),
  );
});
