import { isIP } from 'node:net';
import type { Parameters } from './keywords.ts';
import { isSocketDirectory, type ServerHost } from './target.ts';
import { invalid } from './values.ts';

/** Debian's place and upstream's. libpq knows one of them by how it was compiled; we try both. */
const SOCKET_DIRECTORIES = ['/var/run/postgresql', '/tmp'];
const DEFAULT_PORT = 5432;

/** Hosts to try; `passwordHost` is the name the password file knows the host by. */
export type Hosts = readonly (ServerHost & { readonly passwordHost: string })[];

/**
 * Pairs the lists of hosts, addresses and ports.
 * @throws {KeyframeError} INVALID_OPTION when their lengths differ or a port is none.
 */
export function readHosts(parameters: Parameters): Hosts {
  const host = parameters.get('host');
  const address = parameters.get('hostaddr');
  const names = list(host?.value);
  const addresses = list(address?.value);
  if (names.length > 0 && addresses.length > 0 && names.length !== addresses.length)
    throw invalid('hostaddr', `${addresses.length} addresses for ${names.length} hosts`, 'one address for each host');
  const count = Math.max(names.length, addresses.length, 1);
  const ports = readPorts(parameters, count);
  return Array.from({ length: count }).flatMap((_, index) =>
    places(names[index] ?? '', addresses[index] ?? '', ports[index] ?? DEFAULT_PORT),
  );
}

function places(name: string, address: string, port: number): Hosts {
  if (address !== '') {
    if (isIP(address) === 0) throw invalid('hostaddr', `${JSON.stringify(address)} is no IP address`, 'an IP address');
    return [{ host: name || address, address, port, passwordHost: name || address }];
  }
  // The password file says localhost for the default socket directory.
  if (name === '') return SOCKET_DIRECTORIES.map((host) => ({ host, port, passwordHost: 'localhost' }));
  const local = isSocketDirectory(name) && SOCKET_DIRECTORIES.includes(name);
  return [{ host: name, port, passwordHost: local ? 'localhost' : name }];
}

function readPorts(parameters: Parameters, count: number): readonly number[] {
  const parameter = parameters.get('port');
  const texts = list(parameter?.value);
  if (texts.length > 1 && texts.length !== count)
    throw invalid(parameter?.origin ?? 'port', `${texts.length} ports for ${count} hosts`, 'one port, or one for each');
  const ports = texts.map((text) => {
    if (text.trim() === '') return DEFAULT_PORT;
    const port = Number(text);
    if (!/^\s*\d+\s*$/.test(text) || port < 1 || port > 65_535)
      throw invalid(parameter?.origin ?? 'port', `${JSON.stringify(text)} is no port`, 'a number from 1 to 65535');
    return port;
  });
  const [only = DEFAULT_PORT] = ports;
  return ports.length > 1 ? ports : Array.from({ length: count }, () => only);
}

const list = (text: string | undefined): readonly string[] => (text ? text.split(',') : []);
