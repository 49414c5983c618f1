import { describe, expect, it } from 'vitest';
import { saslprep } from './saslprep.ts';

describe('saslprep', () => {
  it.each([
    // RFC 4013 §3
    ['I\u00ADX', 'IX'],
    ['user', 'user'],
    ['USER', 'USER'],
    ['\u00AA', 'a'],
    ['\u2168', 'IX'],
    // Spaces, and characters that map to nothing
    ['a\u00A0b\u3000c', 'a b c'],
    ['a\u200Bb', 'a b'],
    ['a\uFEFFb\u2060', 'ab'],
    ['Å', '\u00C5'],
    ['パスワード', 'パスワード'],
    // All right-to-left
    ['\u0627\u0628', '\u0627\u0628'],
  ])('prepares %j', (password, expected) => {
    expect(saslprep(password)).toBe(expected);
  });

  it.each([
    '\u0007',
    'a\u007Fb\u00AA',
    '\uE000\u00AA',
    '\uFFFD\u00AA',
    '\u200E\u00AA',
    // RFC 4013 §3: right-to-left that does not end so; and mixed with left-to-right
    '\u06271',
    '\u0627a\u0628\u00AA',
    // Nothing would be left
    '\u00AD',
  ])('leaves the forbidden %j as it is', (password) => {
    expect(saslprep(password)).toBe(password);
  });
});
