import { describe, expect, it } from 'vitest';
import { readCancelKey, readNotice, readParameterStatus, readRow } from './backend.ts';

describe('backend messages', () => {
  it('reads an error and prefers what is never translated', () => {
    const body = Buffer.from('SFEHLER\0VERROR\0C28P01\0Mno\0Dd\0Hh\0Zunknown\0\0');
    expect(readNotice(body)).toEqual({ severity: 'ERROR', code: '28P01', message: 'no', detail: 'd', hint: 'h' });
  });

  it('reads an error of which fields are missing', () => {
    expect(readNotice(Buffer.from('\0'))).toMatchObject({ severity: 'ERROR', code: 'XX000' });
  });

  it('reads a row into copies', () => {
    const body = Buffer.from('000300000002616200000000ffffffff', 'hex');
    const row = readRow(body);
    body.fill(0);
    expect(row.map((value) => value?.toString())).toEqual(['ab', '', undefined]);
  });

  it('refuses a row that is longer than its message', () => {
    expect(() => readRow(Buffer.from('0001000000056162', 'hex'))).toThrow(
      expect.objectContaining({ code: 'SERVER_ERROR' }),
    );
  });

  it('refuses a string without end', () => {
    expect(() => readParameterStatus(Buffer.from('a'))).toThrow(expect.objectContaining({ code: 'SERVER_ERROR' }));
  });

  it('reads a setting and a cancel key', () => {
    expect(readParameterStatus(Buffer.from('TimeZone\0UTC\0'))).toEqual(['TimeZone', 'UTC']);
    expect(readCancelKey(Buffer.from('0000000780000001', 'hex'))).toEqual({ processId: 7, secret: -2_147_483_647 });
  });
});
