import { createHash } from 'node:crypto';

const HASH_OF: Readonly<Record<string, string>> = {
  // PKCS #1: md5, sha1, sha224, sha256, sha384, sha512 with RSA
  '1.2.840.113549.1.1.4': 'md5',
  '1.2.840.113549.1.1.5': 'sha1',
  '1.2.840.113549.1.1.14': 'sha224',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  // ECDSA
  '1.2.840.10045.4.1': 'sha1',
  '1.2.840.10045.4.3.1': 'sha224',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  // Digests by themselves, as parameters of RSASSA-PSS
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
const RSASSA_PSS = '1.2.840.113549.1.1.10';
const SEQUENCE = 0x30;
const CONTEXT_0 = 0xa0;

/**
 * Channel binding data `tls-server-end-point`: the certificate hashed with the hash of its own signature, at least
 * SHA-256. `undefined` where that signature has no hash (Ed25519), for which the binding is not defined.
 * @see https://www.rfc-editor.org/rfc/rfc5929#section-4.1
 */
export function serverEndPoint(certificate: Uint8Array): Buffer | undefined {
  const hash = signatureHash(certificate);
  if (hash === undefined) return undefined;
  return createHash(hash === 'md5' || hash === 'sha1' ? 'sha256' : hash)
    .update(certificate)
    .digest();
}

/** Name of the hash in a certificate's signature algorithm. */
function signatureHash(certificate: Uint8Array): string | undefined {
  // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, parameters }, signatureValue }
  const algorithm = children(children(certificate)[0]?.content)[1];
  const [name, parameters] = children(algorithm?.content);
  const oid = name === undefined ? '' : readOid(name.content);
  if (oid !== RSASSA_PSS) return HASH_OF[oid];
  const field = parameters?.tag === SEQUENCE ? children(parameters.content)[0] : undefined;
  if (field?.tag !== CONTEXT_0) return 'sha1'; // the standard's default
  const digest = children(children(field.content)[0]?.content)[0];
  return digest === undefined ? undefined : HASH_OF[readOid(digest.content)];
}

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

/** The DER elements that lie side by side in `bytes`. */
function children(bytes: Uint8Array = new Uint8Array()): readonly Element[] {
  const found: Element[] = [];
  for (let offset = 0; offset + 1 < bytes.length;) {
    const tag = bytes[offset] ?? 0;
    let length = bytes[offset + 1] ?? 0;
    offset += 2;
    if (length >= 0x80) {
      const digits = bytes.subarray(offset, offset + (length & 0x7f));
      length = digits.reduce((sum, digit) => sum * 256 + digit, 0);
      offset += digits.length;
    }
    found.push({ tag, content: bytes.subarray(offset, offset + length) });
    offset += length;
  }
  return found;
}

function readOid(bytes: Uint8Array): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of bytes) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (arcs.length > 0) arcs.push(arc);
    else arcs.push(Math.min(2, Math.floor(arc / 40)), arc - Math.min(2, Math.floor(arc / 40)) * 40);
    arc = 0;
  }
  return arcs.join('.');
}
