/**
 * The signature of a sealed JSON object: the member before the seal, on a line of its own and of fixed length.
 * It covers which object of which repository this is, and all bytes before that line.
 * @packageDocumentation
 */
import { SEAL_BYTES } from '../format/sealed-json.ts';
import type { Signer } from './keys.ts';

const START = '  "signature": "';
const END = '",\n';
const SIGNATURE_LINE_BYTES = START.length + 32 + 1 + 88 + END.length;
const LINE = /^ {2}"signature": "([0-9a-f]{32}):([A-Za-z0-9+/]{86}==)",\n$/u;

/** Which object is signed. */
export interface SignedPlace {
  readonly repository: string;
  readonly key: string;
}

/** A signature as an object carries it. */
export interface FoundSignature {
  readonly keyId: string;
  readonly signature: Buffer;
  /** What was signed. */
  readonly message: Buffer;
}

/** The line to put before the seal; `body` is everything before it. */
export function signatureLine(signer: Signer, place: SignedPlace, body: string): string {
  const signature = signer.sign(messageOf(place, Buffer.from(body))).toString('base64');
  return `${START}${signer.keyId}:${signature}${END}`;
}

/** The signature of a sealed object, unproven. */
export function findSignature(bytes: Buffer, place: SignedPlace): FoundSignature | undefined {
  const end = bytes.length - SEAL_BYTES;
  const start = end - SIGNATURE_LINE_BYTES;
  if (start < 0) return undefined;
  const match = LINE.exec(bytes.toString('latin1', start, end));
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  const signature = Buffer.from(match[2], 'base64');
  return { keyId: match[1], signature, message: messageOf(place, bytes.subarray(0, start)) };
}

function messageOf({ repository, key }: SignedPlace, body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`keyframe signature 1\n${repository}\n${key}\n`), body]);
}
