import { expect, it } from 'vitest';
import { serverError } from './errors.ts';

it.each([
  ['28000', 'no pg_hba.conf entry for host "127.0.0.1", user "shop"', /^Let shop in by pg_hba\.conf/],
  ['28000', 'Peer authentication failed for user "shop"', /^Let shop in by pg_hba\.conf/],
  ['28000', 'role "shop" does not exist', /^Make the role/],
  ['28000', 'role "shop" is not permitted to log in', /^Make the role/],
  ['28P01', 'password authentication failed for user "shop"', /^Correct the password/],
])('%s, %s: says what to do about it', (code, message, hint) => {
  const error = serverError(
    { code, message, severity: 'FATAL', detail: undefined, hint: undefined },
    { starting: true, user: 'shop' },
  );
  expect(error).toMatchObject({ code: 'SERVER_REFUSED', hint: expect.stringMatching(hint) });
});
