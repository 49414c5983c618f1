/** The text of a first config file. @packageDocumentation */
import type { ServerFacts } from '@keyframe/postgres';

/** What goes into the file. */
export interface FirstConfiguration {
  readonly clusterName: string;
  readonly repositoryName: string;
  /** Without a password. */
  readonly url: string;
  /** Of a server on this machine. */
  readonly dataDirectory: string | undefined;
  /** Options of the store plugin `fs`. */
  readonly storeDirectory: string;
  /** What was found out; `undefined` when no server answered. */
  readonly server: Pick<ServerFacts, 'versionText' | 'systemIdentifier' | 'databaseBytes'> | undefined;
  /** Of the JSON Schema, relative to the file. */
  readonly schema: string;
}

/** YAML, with a comment for whatever a first reader may ask. */
export function renderConfiguration(input: FirstConfiguration): string {
  const { clusterName, repositoryName, url, dataDirectory, storeDirectory, schema } = input;
  const lines = [
    `# yaml-language-server: $schema=${schema}`,
    `# Keyframe: ${seen(input)}`,
    '# `keyframe config validate` checks this file, `keyframe doctor` everything it names.',
    '',
    'clusters:',
    `  ${clusterName}:`,
    '    source:',
    '      # A libpq URI. Passwords belong into ~/.pgpass or PGPASSWORD, or stand here as "${env:NAME}" or "${file:/path}".',
    `      url: ${yamlText(url)}`,
    ...(dataDirectory === undefined
      ? [
          '      # The data directory, when the server is on this machine.',
          '      # dataDirectory: /var/lib/postgresql/18/main',
        ]
      : ['      # The data directory of that server.', `      dataDirectory: ${yamlText(dataDirectory)}`]),
    `    repository: ${repositoryName}`,
    '    # How long a backup waits for its last WAL segment to be archived.',
    '    # walTimeout: 60s',
    '    # Most that a backup reads from the server per second. Default: no limit.',
    '    # maxRate: 50MiB/s',
    '',
    'repositories:',
    `  ${repositoryName}:`,
    '    stores:',
    '      # A directory, on another disk than the server at least, better on another machine.',
    '      - use: fs',
    `        directory: ${yamlText(storeDirectory)}`,
    '    # Codec of what is written from now on: zstd, gzip or none. What is there stays readable.',
    '    # compress: { use: zstd, level: 1 }',
    '    # Keys, any one of which opens the repository. Without them whoever can read the store can read the database.',
    '    # encrypt: [ { use: passphrase, passphrase: "${file:/etc/keyframe/passphrase}" } ]    # or gpg, age',
    '    # retention: { window: 35d, weekly: 8 }    # what `keyframe expire` keeps; without it nothing expires',
    '',
  ];
  return lines.join('\n');
}

function seen({ server }: FirstConfiguration): string {
  if (server === undefined) return 'written without having seen the server.';
  const size = server.databaseBytes === undefined ? '' : `, ${sizeOf(server.databaseBytes)}`;
  const system = server.systemIdentifier === undefined ? '' : `, system identifier ${server.systemIdentifier}`;
  return `written for PostgreSQL ${server.versionText}${system}${size}.`;
}

function sizeOf(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** JSON strings are YAML strings. `${` would be read as a reference, and a plain text cannot hold one. */
function yamlText(text: string): string {
  return /^[A-Za-z0-9/][A-Za-z0-9/._-]*$/.test(text) ? text : JSON.stringify(text);
}
