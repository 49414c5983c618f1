/** The connection, the role and the repository. @packageDocumentation */
import { counted } from '@keyframe/contracts';
import type { ServerFacts } from '@keyframe/postgres';
import { checkStores } from './check-stores.ts';
import type { Evidence, RepositoryEvidence } from './evidence.ts';
import { fail, type Finding, ok, skipped, warn } from './finding.ts';

const SETUP = 'Run the SQL that `keyframe setup` prints as a superuser, or `keyframe setup --apply`.';

/** 28000 is both: no such role, and no line of pg_hba.conf for it. */
function letInAdvice(sqlstate: string | undefined): string | undefined {
  if (sqlstate !== '28000') return undefined;
  return 'Make the role and let it in by pg_hba.conf as `keyframe setup` prints it, or name another role in source.url.';
}

/** Plain SQL. */
export function checkConnection({ server }: Evidence): Finding {
  if ('value' in server) return ok('connection', `connected to PostgreSQL ${server.value.versionText}`);
  if ('absent' in server) return skipped('connection', 'the server was not asked', server.absent);
  return fail(
    'connection',
    server.fault.message,
    'nothing about the server can be told',
    letInAdvice(server.fault.sqlstate) ?? server.fault.hint ?? 'Correct source.url in the config file.',
  );
}

/** The connection that a base backup needs, and that it ends at the same cluster. */
export function checkReplication({ replication, server }: Evidence): Finding {
  const id = 'replication';
  if ('absent' in replication) return skipped(id, 'no replication connection was tried', replication.absent);
  if ('fault' in replication)
    return fail(
      id,
      `a replication connection fails: ${replication.fault.message}`,
      'a base backup is read through one',
      letInAdvice(replication.fault.sqlstate) ??
        replication.fault.hint ??
        'Add a `replication` line for the role to pg_hba.conf, then run `select pg_reload_conf()`.',
    );
  const bySql = 'value' in server ? server.value.systemIdentifier : undefined;
  if (bySql !== undefined && bySql !== replication.value.systemIdentifier)
    return fail(
      id,
      `replication reaches system ${replication.value.systemIdentifier}, plain SQL ${bySql}`,
      'the two connections end at different clusters',
      'Name one server in source.url, not a pooler or load balancer.',
    );
  return ok(id, `replication connects, system identifier ${replication.value.systemIdentifier}`);
}

/** Whether the role may do its work, and no more. */
export function checkRole({ role, inRecovery }: ServerFacts): Finding[] {
  const findings: Finding[] = [];
  if (role.superuser)
    findings.push(
      warn(
        'role',
        `${role.name} is a superuser`,
        'who can read Keyframe’s password owns the server',
        'Make a least-privilege role with `keyframe setup`, and name it in source.url.',
      ),
    );
  else if (!role.replication)
    findings.push(fail('role', `${role.name} lacks REPLICATION`, 'it may not take a base backup', SETUP));
  else findings.push(ok('role', `${role.name} may replicate and is no superuser`));
  const missing = [
    role.readAllSettings ? undefined : 'reading all settings',
    role.monitor ? undefined : 'pg_monitor',
    role.maySwitchWal === false && !inRecovery ? 'pg_switch_wal()' : undefined,
    role.mayCreateRestorePoint === false && !inRecovery ? 'pg_create_restore_point()' : undefined,
    role.mayEmitMessage === false && !inRecovery ? 'pg_logical_emit_message()' : undefined,
  ].filter((each) => each !== undefined);
  findings.push(
    missing.length === 0
      ? ok('rights', `${role.name} has every right that Keyframe uses`)
      : warn(
          'rights',
          `${role.name} lacks ${missing.join(', ')}`,
          'checks stay blind, and a backup of a quiet server waits for archive_timeout',
          SETUP,
        ),
  );
  return findings;
}

/** Whether the store serves, and whether its repository is the one of this cluster. */
export function checkRepository({ store, mirrors, repository, encryption, server, exposed }: Evidence): Finding[] {
  const stores = mirrors === undefined ? [checkStore(store)] : checkStores(mirrors);
  return [
    ...stores,
    checkHistory(repository, server),
    ...checkEncryption(encryption),
    ...checkSigning(repository),
    ...checkFiles(exposed),
  ];
}

/** Not of the files of archive_command, whose user they must be readable for: who else reads them. */
function checkFiles(exposed: Evidence['exposed']): Finding[] {
  if (exposed === undefined) return [];
  const id = 'secret-files';
  if (exposed.length === 0) return [ok(id, 'no file with a secret of this configuration is open to others')];
  return [
    warn(
      id,
      `others may read ${exposed.map(({ file, mode }) => `${file} (mode ${mode})`).join(', ')}`,
      'whoever reads a key of the repository or a password of the server has what it opens',
      exposed.map(({ fix }) => fix).join(' '),
    ),
  ];
}

/** A wrong or missing key stops archiving as surely as a full disk. */
function checkEncryption(encryption: Evidence['encryption']): Finding[] {
  const id = 'encryption';
  if (encryption === undefined || 'absent' in encryption) return [];
  if ('fault' in encryption) {
    const { message, hint } = encryption.fault;
    return [fail(id, message, 'no backup and no WAL can be stored', hint ?? 'Run `keyframe key test`.')];
  }
  return [ok(id, encryption.value ? 'what is written is encrypted' : 'backups and WAL are not encrypted')];
}

/** Not signing is no fault; one should know what it leaves open. */
function checkSigning(repository: Evidence['repository']): Finding[] {
  const kept = 'value' in repository ? repository.value : undefined;
  if (kept?.signing === undefined) return [];
  return [SIGNING[kept.signing](kept.backups)];
}

const REFUSED = 'until then `keyframe restore` and `keyframe plan` refuse every backup';

const SIGNING: Readonly<Record<NonNullable<RepositoryEvidence['signing']>, (backups: number) => Finding>> = {
  signed: () => ok('signing', 'backups and WAL are signed'),
  begins: (backups) =>
    backups === 0
      ? ok('signing', 'the first backup will be signed')
      : warn('signing', 'nothing is signed yet', REFUSED, 'Run `keyframe backup`: it signs itself and all before it.'),
  awaited: () =>
    warn(
      'signing',
      'nothing is signed yet, and this host believes only what is',
      REFUSED,
      'Run `keyframe backup` on the host that has `signing.key`.',
    ),
  none: () =>
    ok(
      'signing',
      'backups and WAL are not signed',
      'Run `keyframe signer create`, so that nobody who can write to the store can replace or remove backups and WAL unnoticed.',
    ),
};

function checkStore(store: Evidence['store']): Finding {
  const id = 'store';
  if ('absent' in store) return skipped(id, 'the store was not tried', store.absent);
  if ('fault' in store)
    return fail(
      id,
      `the store of the repository fails: ${store.fault.message}`,
      'no backup and no WAL can be stored',
      store.fault.hint ?? 'Correct the store in the config file: `keyframe config validate`.',
    );
  const { createOnly, milliseconds } = store.value;
  const what = `an object was written, read back and removed in ${Math.round(milliseconds)} ms`;
  if (createOnly) return ok(id, what);
  return warn(
    id,
    `${what}, but a second writer could replace it`,
    'two clusters with the same name could overwrite each other’s WAL',
    'Use a store that creates only, or see to it that one server alone writes there.',
  );
}

function checkHistory(repository: Evidence['repository'], server: Evidence['server']): Finding {
  const id = 'repository';
  if ('absent' in repository) return skipped(id, 'the repository was not read', repository.absent);
  if ('fault' in repository)
    return fail(
      id,
      repository.fault.message,
      'backups cannot be found or made',
      repository.fault.hint ?? 'Run `keyframe list` to see what it holds.',
    );
  const { id: name, systemIdentifiers, backups, damagedBackups, newestBackup } = repository.value;
  const ours = 'value' in server ? server.value.systemIdentifier : undefined;
  if (name === undefined)
    return fail(
      id,
      'there is no repository in the store',
      'backup and archive_command refuse to start one in what may be the wrong place',
      'Check that the store is mounted and its directory right, then run `keyframe repository create`.',
    );
  if (ours !== undefined && systemIdentifiers.length > 0 && !systemIdentifiers.includes(ours))
    return fail(
      id,
      `the repository holds system ${systemIdentifiers.join(', ')} under this name, the server is ${ours}`,
      'its WAL will be refused',
      'Choose another cluster name in the config file, or, after pg_upgrade, run `keyframe backup --new-epoch`.',
    );
  if (damagedBackups > 0)
    return fail(
      id,
      `${damagedBackups} of the backups in the repository have a damaged record`,
      'they cannot be restored',
      'Run `keyframe list` to see which, take a new one with `keyframe backup`, and check the disk of the store.',
    );
  if (backups === 0)
    return warn(
      id,
      'the repository has no base backup of this cluster',
      'nothing can be recovered yet',
      'Run `keyframe backup`.',
    );
  return ok(id, `${counted(backups, 'base backup')}, the newest is ${newestBackup}`);
}
