import { describe, expect, it } from 'vitest';
import { parseConnInfo } from './conninfo.ts';

const parsed = (text: string): Record<string, string> => Object.fromEntries(parseConnInfo(text));

describe('parseConnInfo', () => {
  it.each([
    ['', {}],
    ['   ', {}],
    ['host=a port=5433', { host: 'a', port: '5433' }],
    ['  host = a\n port =  5433 ', { host: 'a', port: '5433' }],
    [String.raw`password='a b\'c\\d' user=x`, { password: String.raw`a b'c\d`, user: 'x' }],
    [String.raw`options=-c\ x=y user=''`, { options: '-c x=y', user: '' }],
    ["host='a'port=1", { host: 'a', port: '1' }],
    ['host=a host=b', { host: 'b' }],
  ])('reads %j', (text, expected) => {
    expect(parsed(text)).toEqual(expected);
  });

  it.each(['shop', 'host', 'host a', 'host=a =b', "password='hidden"])('refuses %j', (text) => {
    expect(() => parseConnInfo(text)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(() => parseConnInfo(text)).not.toThrow(/hidden/);
  });
});
