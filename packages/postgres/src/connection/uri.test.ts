import { hasCode, isKeyframeError } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import { parseConnectionUri } from './uri.ts';

const parsed = (text: string): Record<string, string> => Object.fromEntries(parseConnectionUri(text));

describe('parseConnectionUri', () => {
  it('reads every part', () => {
    expect(parsed('postgresql://ann:s3cret@db.example:5433/shop?sslmode=require&application_name=x')).toEqual({
      user: 'ann',
      password: 's3cret',
      host: 'db.example',
      port: '5433',
      dbname: 'shop',
      sslmode: 'require',
      application_name: 'x',
    });
  });

  it.each([
    ['postgresql://', {}],
    ['postgres://', {}],
    ['postgresql:///shop', { dbname: 'shop' }],
    ['postgresql://localhost', { host: 'localhost' }],
    ['postgresql://localhost/', { host: 'localhost' }],
    ['postgresql://ann@', { user: 'ann' }],
    ['postgresql://:5433', { port: '5433' }],
    ['postgresql://ann:@localhost', { user: 'ann', host: 'localhost' }],
    ['postgresql:///?', {}],
    ['postgresql://localhost?user=ann', { host: 'localhost', user: 'ann' }],
  ])('leaves out what %s leaves out', (text, expected) => {
    expect(parsed(text)).toEqual(expected);
  });

  it('keeps lists of hosts and ports in step', () => {
    expect(parsed('postgresql://a:1,b,[::1]:3/shop')).toEqual({ host: 'a,b,::1', port: '1,,3', dbname: 'shop' });
  });

  it('reads IPv6 addresses', () => {
    expect(parsed('postgresql://[2001:db8::1]:5433/shop')).toEqual({
      host: '2001:db8::1',
      port: '5433',
      dbname: 'shop',
    });
  });

  it('decodes each part by itself', () => {
    expect(parsed('postgresql://a%40b:p%3A%2F%3F%23@%2Frun%2Fpg/my%20db?options=-c%20x%3Dy')).toEqual({
      user: 'a@b',
      password: 'p:/?#',
      host: '/run/pg',
      dbname: 'my db',
      options: '-c x=y',
    });
  });

  it('takes a socket directory from the parameters', () => {
    expect(parsed('postgresql://ann@/shop?host=/var/run/postgresql')).toEqual({
      user: 'ann',
      dbname: 'shop',
      host: '/var/run/postgresql',
    });
  });

  it('lets a parameter replace what stands before the question mark', () => {
    expect(parsed('postgresql://ann@a:1/x?host=b&port=2&dbname=y&user=bob')).toEqual({
      user: 'bob',
      host: 'b',
      port: '2',
      dbname: 'y',
    });
  });

  it('understands the ssl=true of JDBC urls', () => {
    expect(parsed('postgresql://a/x?ssl=true')).toEqual({ host: 'a', dbname: 'x', sslmode: 'require' });
  });

  it('takes a question mark in a password, as libpq does', () => {
    expect(parsed('postgresql://ann:wh?t@a/x')).toEqual({ user: 'ann', password: 'wh?t', host: 'a', dbname: 'x' });
  });

  it.each([
    'postgresql://ann:hidden%4@a/x',
    'postgresql://ann:hidden%00@a/x',
    'postgresql://ann:hidden%FF@a/x',
    'postgresql://ann:hidden@[::1/x',
    'postgresql://ann:hidden@[::1]x/x',
    'postgresql://ann:hidden@a/x?sslmode',
    'postgresql://ann:hidden@a/x?=y',
    'postgresql://ann:hidden@a/x?options=a=b',
  ])('refuses %s without quoting it', (text) => {
    const error = ((): unknown => {
      try {
        return parseConnectionUri(text);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(hasCode(error, 'INVALID_OPTION')).toBe(true);
    expect(isKeyframeError(error) && `${error.message} ${error.hint}`).not.toContain('hidden');
  });
});
