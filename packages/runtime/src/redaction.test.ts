import { describe, expect, it } from 'vitest';
import { maskUrl, passwordsIn, Redaction } from './redaction.ts';

describe('maskUrl', () => {
  it.each([
    ['postgresql://u:secret@host:5432/db', 'postgresql://u:***@host:5432/db'],
    ['postgresql://u@host:5432/db?application_name=a@b', 'postgresql://u@host:5432/db?application_name=a@b'],
    ['postgresql://host:5432/db?application_name=a:b@c', 'postgresql://host:5432/db?application_name=a:b@c'],
    ['postgresql://u:p@a:1,b:2/db', 'postgresql://u:***@a:1,b:2/db'],
    ['postgresql://u:p?s@host/db', 'postgresql://u:***@host/db'],
    ['postgresql://u:p/s@host/db', 'postgresql://u:***@host/db'],
    ['postgresql://u:p@s@host/db', 'postgresql://u:***@host/db'],
    ['postgresql://u@/db?password=x%20y&host=/run', 'postgresql://u@/db?password=***&host=/run'],
    ['postgresql://u@h/db?sslmode=require&sslpassword=k', 'postgresql://u@h/db?sslmode=require&sslpassword=***'],
    ['postgresql:///db', 'postgresql:///db'],
    ['postgresql://h?password=abc', 'postgresql://h?password=***'],
  ])('%s prints as %s', (url, masked) => expect(maskUrl(url)).toBe(masked));

  it('gives the password as written and decoded', () =>
    expect(passwordsIn('postgresql://u:p%40ss%C3%A9@h/db')).toEqual(['p%40ss%C3%A9', 'p@ssé']));
});

describe('Redaction', () => {
  it('hides every value, the longest first', () => {
    const redaction = new Redaction();
    redaction.add('hunter');
    redaction.add('hunter2');
    redaction.add('abc');
    expect(redaction.apply('hunter2 and hunter and abc')).toBe('*** and *** and abc');
  });
});
