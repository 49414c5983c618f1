/**
 * Messages a client sends, protocol 3.0.
 * @see https://www.postgresql.org/docs/18/protocol-message-formats.html
 * @packageDocumentation
 */

const PROTOCOL_3_0 = 3 << 16;
const SSL_REQUEST = 80_877_103;
const CANCEL_REQUEST = 80_877_102;

function int32(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeInt32BE(value, index * 4);
  return bytes;
}

/** A message: type letter, length, body. The length counts itself. */
export function message(type: string, ...body: readonly Uint8Array[]): Buffer {
  const sizeBytes = body.reduce((sum, part) => sum + part.length, 4);
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(sizeBytes), ...body]);
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`);

/** The first message of a connection. */
export function startupMessage(parameters: Readonly<Record<string, string | undefined>>): Buffer {
  const pairs = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [text(name), text(value)],
  );
  const body = Buffer.concat([int32(PROTOCOL_3_0), ...pairs, Buffer.of(0)]);
  return Buffer.concat([int32(body.length + 4), body]);
}

/** Asks whether the server speaks TLS; it answers with one byte. */
export function sslRequest(): Buffer {
  return int32(8, SSL_REQUEST);
}

/** Sent over a connection of its own to stop what another one runs. */
export function cancelRequest(key: { readonly processId: number; readonly secret: number }): Buffer {
  return int32(16, CANCEL_REQUEST, key.processId, key.secret);
}

/** A password in clear or hashed by the md5 method. */
export function passwordMessage(password: string): Buffer {
  return message('p', text(password));
}

/** First message of a SASL exchange. */
export function saslInitialResponse(mechanism: string, response: string): Buffer {
  const bytes = Buffer.from(response);
  return message('p', text(mechanism), int32(bytes.length), bytes);
}

/** Any later message of a SASL exchange. */
export function saslResponse(response: string): Buffer {
  return message('p', Buffer.from(response));
}

/** A command for the simple query protocol, the only one a walsender takes. */
export function queryMessage(command: string): Buffer {
  return message('Q', text(command));
}
