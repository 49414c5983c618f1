import { createHash } from 'node:crypto';
import { KeyframeError, type Secret } from '@keyframe/contracts';
import { dataView, readText } from './backend.ts';
import { serverEndPoint } from './certificate.ts';
import { malformed } from './errors.ts';
import { passwordMessage, saslInitialResponse, saslResponse } from './frontend.ts';
import type { MessageSink } from './framer.ts';
import { TYPE } from './message-type.ts';
import { type ChannelBinding, type ScramExchange, startScram } from './scram.ts';

/** Who logs in, and how much the channel must be bound to it. */
export interface Credentials {
  readonly user: string;
  readonly password: Secret | undefined;
  readonly channelBinding: 'disable' | 'prefer' | 'require';
}

/** What authentication may know of the connection. */
export interface Channel {
  readonly encrypted: boolean;
  /** The server's certificate in DER. */
  readonly certificate: Buffer | undefined;
  send(bytes: Uint8Array): void;
}

const PLUS = 'SCRAM-SHA-256-PLUS';
const SCRAM = 'SCRAM-SHA-256';
const AUTHENTICATION = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;
const METHOD_NAMES: Readonly<Record<number, string>> = { 2: 'Kerberos', 7: 'GSSAPI', 8: 'GSSAPI', 9: 'SSPI' };

/**
 * Answers the server's authentication requests: trust, password, md5, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS.
 * @throws {KeyframeError} SERVER_REFUSED, also when the server wants less than `channelBinding` asks for.
 * @see https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-START-UP
 */
export class Authentication implements MessageSink {
  readonly #credentials: Credentials;
  readonly #channel: Channel;
  #scram: ScramExchange | undefined;
  #proof: 'none' | 'awaited' | 'given' | 'bound' = 'none';
  #bound = false;

  constructor(credentials: Credentials, channel: Channel) {
    this.#credentials = credentials;
    this.#channel = channel;
  }

  copyData(): void {
    throw malformed('copy data before the connection is ready');
  }

  message(type: number, body: Uint8Array): void | Promise<void> {
    if (type === TYPE.negotiateProtocolVersion) return undefined;
    if (type !== TYPE.authentication) throw malformed('an unexpected message before the connection is ready');
    const method = dataView(body).getInt32(0);
    const rest = body.subarray(4);
    switch (method) {
      case AUTHENTICATION.ok:
        return this.#accepted();
      case AUTHENTICATION.cleartext:
        this.#refuseUnbound('asks for the password in clear');
        return this.#channel.send(passwordMessage(this.#password()));
      case AUTHENTICATION.md5:
        this.#refuseUnbound('uses md5');
        return this.#channel.send(passwordMessage(md5(this.#password(), this.#credentials.user, rest)));
      case AUTHENTICATION.sasl:
        return this.#startScram(readMechanisms(rest));
      case AUTHENTICATION.saslContinue:
        return this.#respond(Buffer.from(rest).toString());
      case AUTHENTICATION.saslFinal:
        return this.#verify(Buffer.from(rest).toString());
      default:
        throw refused(`the server asks for ${METHOD_NAMES[method] ?? `method ${method}`}, which is not supported`, {
          hint: 'Use scram-sha-256, cert or peer for this user in pg_hba.conf.',
        });
    }
  }

  #accepted(): void {
    if (this.#proof === 'awaited')
      throw refused('the server ended authentication before it proved that it knows the password', {
        hint: 'Check that host and port of the source url are your server.',
      });
    if (this.#proof !== 'bound') this.#refuseUnbound('let us in');
  }

  /** With `channel_binding=require` nothing but SCRAM bound to the TLS channel will do. */
  #refuseUnbound(what: string): void {
    if (this.#credentials.channelBinding !== 'require') return;
    throw refused(`channel binding is required, but the server ${what} without it`, {
      hint: 'Connect by TLS with a scram-sha-256 line in pg_hba.conf, or set channel_binding=prefer.',
    });
  }

  #password(): string {
    const { password, user } = this.#credentials;
    if (password !== undefined) return password.reveal();
    throw refused(`the server asks for a password for user ${JSON.stringify(user)}, and none is given`, {
      hint: 'Put the password into the password file (~/.pgpass, mode 0600), PGPASSWORD or the source url.',
    });
  }

  #startScram(mechanisms: readonly string[]): void {
    const binding = this.#chooseBinding(mechanisms);
    if (binding.kind !== 'bound') this.#refuseUnbound('does not offer SCRAM-SHA-256-PLUS and goes on');
    const mechanism = binding.kind === 'bound' ? PLUS : SCRAM;
    if (!mechanisms.includes(mechanism))
      throw refused(`the server offers only ${mechanisms.join(', ')} for authentication`, {
        hint: 'Use scram-sha-256 for this user in pg_hba.conf.',
      });
    this.#bound = binding.kind === 'bound';
    this.#scram = startScram({ password: this.#password(), binding });
    this.#proof = 'awaited';
    this.#channel.send(saslInitialResponse(mechanism, this.#scram.first));
  }

  #chooseBinding(mechanisms: readonly string[]): ChannelBinding {
    const { encrypted, certificate } = this.#channel;
    if (!encrypted || this.#credentials.channelBinding === 'disable') return { kind: 'none' };
    if (!mechanisms.includes(PLUS)) return { kind: 'not-offered' };
    const data = certificate === undefined ? undefined : serverEndPoint(certificate);
    // A certificate whose signature has no hash cannot be bound to; the server would not believe "not offered".
    return data === undefined ? { kind: 'none' } : { kind: 'bound', data };
  }

  async #respond(serverFirst: string): Promise<void> {
    if (this.#scram === undefined) throw malformed('an unexpected SASL message');
    this.#channel.send(saslResponse(await this.#scram.respond(serverFirst)));
  }

  #verify(serverFinal: string): void {
    if (this.#scram === undefined) throw malformed('an unexpected SASL message');
    this.#scram.verify(serverFinal);
    this.#proof = this.#bound ? 'bound' : 'given';
  }
}

function readMechanisms(body: Uint8Array): readonly string[] {
  const names: string[] = [];
  for (let offset = 0; offset < body.length && body[offset] !== 0;) {
    const { value, end } = readText(body, offset);
    names.push(value);
    offset = end;
  }
  return names;
}

const md5Hex = (...parts: readonly (string | Uint8Array)[]): string =>
  parts.reduce((sum, part) => sum.update(part), createHash('md5')).digest('hex');

function md5(password: string, user: string, salt: Uint8Array): string {
  return `md5${md5Hex(md5Hex(password, user), salt)}`;
}

function refused(text: string, init: { readonly hint: string }): KeyframeError {
  return new KeyframeError('SERVER_REFUSED', text, init);
}
