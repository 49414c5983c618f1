/**
 * Messages a server sends, protocol 3.0.
 * @see https://www.postgresql.org/docs/18/protocol-message-formats.html
 * @packageDocumentation
 */
import { malformed } from './errors.ts';

/** One row in text format; `undefined` is SQL's null. */
export type Row = readonly (Buffer | undefined)[];

/** An ErrorResponse or NoticeResponse. */
export interface ServerNotice {
  /** `ERROR`, `FATAL`, `PANIC`, `WARNING`, `NOTICE`, `DEBUG`, `INFO` or `LOG`, never translated. */
  readonly severity: string;
  /** SQLSTATE, five characters. */
  readonly code: string;
  readonly message: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
}

/** Reads a zero-terminated string; `end` is the offset behind the terminator. */
export function readText(bytes: Uint8Array, start: number): { readonly value: string; readonly end: number } {
  const end = bytes.indexOf(0, start);
  if (end < 0) throw malformed('a string without end');
  return { value: Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString(), end: end + 1 };
}

/** Reads an ErrorResponse or NoticeResponse. */
export function readNotice(body: Uint8Array): ServerNotice {
  const fields = new Map<string, string>();
  for (let offset = 0; offset < body.length && body[offset] !== 0;) {
    const name = String.fromCharCode(body[offset] ?? 0);
    const { value, end } = readText(body, offset + 1);
    fields.set(name, value);
    offset = end;
  }
  return {
    severity: fields.get('V') ?? fields.get('S') ?? 'ERROR',
    code: fields.get('C') ?? 'XX000',
    message: fields.get('M') ?? 'the server gave no reason',
    detail: fields.get('D'),
    hint: fields.get('H'),
  };
}

/** Reads a DataRow. The values are copies: the buffer they came in is reused. */
export function readRow(body: Uint8Array): Row {
  const view = dataView(body);
  const row: (Buffer | undefined)[] = [];
  let offset = 2;
  for (let left = view.getInt16(0); left > 0; left -= 1) {
    const sizeBytes = view.getInt32(offset);
    offset += 4;
    if (sizeBytes < 0) row.push(undefined);
    else {
      if (offset + sizeBytes > body.length) throw malformed('a row beyond its message');
      row.push(Buffer.from(body.subarray(offset, offset + sizeBytes)));
      offset += sizeBytes;
    }
  }
  return row;
}

/** Reads a ParameterStatus. */
export function readParameterStatus(body: Uint8Array): readonly [name: string, value: string] {
  const name = readText(body, 0);
  return [name.value, readText(body, name.end).value];
}

/** Reads BackendKeyData: what a {@link cancelRequest} must quote. */
export function readCancelKey(body: Uint8Array): { readonly processId: number; readonly secret: number } {
  const view = dataView(body);
  return { processId: view.getInt32(0), secret: view.getInt32(4) };
}

/** A view for reading integers. */
export function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
