import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A certificate authority of the test's own, by the openssl program. */
export interface Authority {
  /** PEM file of its certificate. */
  readonly certificate: string;
  /**
   * Signs a certificate for `name` (a host, or a user as common name). `key` is what openssl calls a new key, `signing`
   * are more words for the signature.
   */
  issue(
    name: string,
    options?: { readonly directory?: string; readonly key?: readonly string[]; readonly signing?: readonly string[] },
  ): Promise<{ readonly certificate: string; readonly key: string }>;
}

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** Makes an authority whose files lie in `directory`. */
export async function createAuthority(directory: string, name: string): Promise<Authority> {
  const place = (file: string): string => path.join(directory, `${name}-${file}`);
  const [certificate, key] = [place('ca.crt'), place('ca.key')];
  const self = ['-subj', `/CN=${name} authority`, '-days', '2'];
  await run('openssl', ['req', '-x509', '-nodes', ...EC_KEY, ...self, '-keyout', key, '-out', certificate]);
  return {
    certificate,
    async issue(subject, options = {}) {
      const made = {
        certificate: path.join(options.directory ?? directory, `${subject}.crt`),
        key: path.join(options.directory ?? directory, `${subject}.key`),
      };
      const request = place(`${subject}.csr`);
      const extensions = place(`${subject}.ext`);
      await writeFile(extensions, `subjectAltName=DNS:${subject}\nbasicConstraints=CA:FALSE\n`);
      const newKey = [...(options.key ?? EC_KEY), '-keyout', made.key];
      await run('openssl', ['req', '-nodes', ...newKey, '-subj', `/CN=${subject}`, '-out', request]);
      const signer = ['-CA', certificate, '-CAkey', key, '-CAcreateserial', ...(options.signing ?? ['-sha256'])];
      const output = ['-extfile', extensions, '-days', '2', '-out', made.certificate];
      await run('openssl', ['x509', '-req', '-in', request, ...signer, ...output]);
      return made;
    },
  };
}
