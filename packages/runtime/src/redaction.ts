/** Shorter values would blank out ordinary words of a message, and protect nothing. */
const SHORTEST = 4;

/** Takes in secret values and keeps them out of texts. */
export class Redaction {
  readonly #values = new Set<string>();

  add(value: string): void {
    if (value.length >= SHORTEST) this.#values.add(value);
  }

  /** The text with every known secret replaced by `***`. */
  apply(text: string): string {
    let result = text;
    // The longest first, so that a secret that contains another leaves no remainder.
    for (const value of [...this.#values].toSorted((left, right) => right.length - left.length))
      result = result.replaceAll(value, '***');
    return result;
  }
}

/** A connection URI without its passwords. */
export function maskUrl(url: string): string {
  return splitPasswords(url).masked;
}

/** The passwords that stand in a connection URI, as written and decoded. */
export function passwordsIn(url: string): string[] {
  return splitPasswords(url).passwords;
}

function splitPasswords(url: string): { masked: string; passwords: string[] } {
  const passwords: string[] = [];
  const take = (password: string): void => {
    passwords.push(password, decode(password));
  };
  const start = url.indexOf('://') + 3;
  const colon = url.indexOf(':', start);
  const end = endOfCredentials(url, start);
  let masked = url;
  if (start > 2 && colon >= 0 && colon < end) {
    take(url.slice(colon + 1, end));
    masked = `${url.slice(0, colon)}:***${url.slice(end)}`;
  }
  masked = masked.replaceAll(/([?&](?:ssl)?password=)([^&]*)/gi, (_, key: string, value: string) => {
    take(value);
    return `${key}***`;
  });
  return { masked, passwords };
}

/** Place of the `@` that ends the credentials, or -1. Errs towards hiding more when a password has unescaped `@`, `/` or `?`. */
function endOfCredentials(url: string, start: number): number {
  const slash = url.indexOf('/', start);
  const authority = slash < 0 ? url : url.slice(0, slash);
  for (const part of [authority.replace(/\?.*/s, ''), authority, url.replace(/\?.*/s, '')]) {
    const at = part.lastIndexOf('@');
    if (at >= start) return at;
  }
  return -1;
}

function decode(text: string): string {
  return text.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, (bytes) =>
    Buffer.from(bytes.replaceAll('%', ''), 'hex').toString('utf8'),
  );
}
