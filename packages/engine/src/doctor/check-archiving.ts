/** Whether the server hands its WAL to this Keyframe, and how that goes. @packageDocumentation */
import { counted } from '@keyframe/contracts';
import type { ServerFacts } from '@keyframe/postgres';
import { type ArchiveCommand, readArchiveCommand } from './archive-command.ts';
import type { ArchiveExpectation, Gathered, HostEvidence } from './evidence.ts';
import { fail, type Finding, ok, skipped, warn } from './finding.ts';

const APPLY = 'Run `keyframe setup --apply`, or set it in postgresql.conf as `keyframe setup` prints it.';

/** The way of the WAL from pg_wal to the repository. */
export function checkArchiving(
  facts: ServerFacts,
  host: Gathered<HostEvidence>,
  expected: ArchiveExpectation,
): Finding[] {
  return [
    checkMode(facts),
    checkLibrary(facts),
    checkCommand(facts, host, expected),
    checkFiles(facts, host),
    ...checkUser(host),
    checkTimeout(facts),
    checkArchiver(facts),
    checkLastArchived(facts),
    checkHeadroom(facts, host),
  ];
}

/** What keeps WAL from coming here, as far as the settings tell: the first that is wrong. */
export function archivingFault(facts: ServerFacts, expected: ArchiveExpectation): Finding | undefined {
  const nothing = { absent: 'the machine was not looked at' } as const;
  return [checkMode(facts), checkLibrary(facts), checkCommand(facts, nothing, expected)].find(
    ({ status }) => status === 'fail',
  );
}

function checkMode({ archiveMode, inRecovery, settings }: ServerFacts): Finding {
  if (archiveMode === undefined)
    return skipped('archive-mode', 'archive_mode is not visible to this role', 'the role may not read all settings');
  const waits = settings.get('archive_mode')?.pendingRestart === true;
  if (archiveMode === 'off' && waits)
    return fail(
      'archive-mode',
      'archive_mode stays off until a restart',
      'no WAL is archived before it',
      'Restart PostgreSQL, e.g. with `pg_ctl restart` or `systemctl restart postgresql`.',
    );
  if (archiveMode === 'off')
    return fail(
      'archive-mode',
      'archive_mode is off',
      'no WAL is archived, so only the moments of the backups themselves can be recovered',
      'Set archive_mode = on and restart PostgreSQL, or run `keyframe setup --apply`.',
    );
  if (inRecovery && archiveMode !== 'always')
    return warn(
      'archive-mode',
      `this is a standby with archive_mode = ${archiveMode}`,
      'a standby archives only with archive_mode = always; its primary must archive',
      'Check the primary with `keyframe doctor` too, or set archive_mode = always here.',
    );
  return ok('archive-mode', `archive_mode is ${archiveMode}`);
}

function checkLibrary({ archiveLibrary }: ServerFacts): Finding {
  if (archiveLibrary === undefined || archiveLibrary === '') return ok('archive-library', 'archive_library is not set');
  return fail(
    'archive-library',
    `archive_library is ${archiveLibrary}`,
    'PostgreSQL then ignores archive_command, and from 16 on refuses both',
    "Set archive_library = '' and run `select pg_reload_conf()`, when nothing else needs it.",
  );
}

function checkCommand(
  { archiveCommand, archiveMode }: ServerFacts,
  host: Gathered<HostEvidence>,
  expected: ArchiveExpectation,
): Finding {
  const id = 'archive-command';
  if (archiveCommand === undefined)
    return skipped(
      id,
      'archive_command is not visible',
      archiveMode === 'off' ? 'PostgreSQL hides it while archive_mode is off' : 'the role may not read all settings',
    );
  const command = readArchiveCommand(archiveCommand);
  if (command.kind === 'none')
    return fail(id, 'archive_command is empty', 'WAL piles up in pg_wal and none is archived', APPLY);
  if (command.kind === 'foreign')
    return fail(
      id,
      `archive_command is not Keyframe's: ${archiveCommand}`,
      'the WAL goes elsewhere, and this repository cannot recover past a backup',
      `Run \`keyframe setup --apply --force\` to replace it, once nothing needs it any more.`,
    );
  if (command.kind === 'mixed')
    return warn(
      id,
      `archive_command mixes Keyframe with other commands: ${archiveCommand}`,
      'its exit status may hide a failure of Keyframe, and PostgreSQL then removes WAL that is stored nowhere',
      APPLY,
    );
  if (!command.passesPath)
    return fail(
      id,
      `archive_command does not pass %p: ${archiveCommand}`,
      'Keyframe cannot know which file to archive',
      APPLY,
    );
  return archiveCommand === expected.command
    ? ok(id, 'archive_command is exactly that of `keyframe setup`')
    : comparePurpose(command, host, expected);
}

/** Ours, but written otherwise: does it serve the same cluster of the same file? */
function comparePurpose(command: ArchiveCommand, host: Gathered<HostEvidence>, expected: ArchiveExpectation): Finding {
  const id = 'archive-command';
  const why = 'the WAL is archived for another purpose than this configuration';
  if (command.cluster !== undefined && command.cluster !== expected.clusterName)
    return fail(id, `archive_command archives for cluster ${command.cluster}, not ${expected.clusterName}`, why, APPLY);
  if (command.repository !== undefined && command.repository !== expected.repositoryName)
    return fail(
      id,
      `archive_command archives to repository ${command.repository}, not ${expected.repositoryName}`,
      why,
      APPLY,
    );
  const same = 'value' in host ? host.value.sameConfig : undefined;
  if (command.config !== undefined && command.config !== expected.configFile && same !== true) {
    const what = `archive_command reads ${command.config}, and this is ${expected.configFile}`;
    return same === false
      ? fail(id, what, why, APPLY)
      : warn(
          id,
          what,
          'only on the server it shows whether they are the same',
          'Run `keyframe doctor` on the server, or `keyframe setup --apply`.',
        );
  }
  if (!command.wrapped)
    return warn(
      id,
      'archive_command calls Keyframe without its shell wrapper',
      'Node starts for every WAL segment',
      APPLY,
    );
  return ok(id, 'archive_command is Keyframe’s, for this cluster');
}

function checkFiles({ archiveCommand }: ServerFacts, host: Gathered<HostEvidence>): Finding {
  const id = 'archive-command-files';
  if (archiveCommand === undefined || readArchiveCommand(archiveCommand).kind !== 'keyframe')
    return skipped(id, 'the files of archive_command were not looked at', 'it is not Keyframe’s');
  if (!('value' in host))
    return skipped(
      id,
      'the files of archive_command were not looked at',
      'absent' in host ? host.absent : host.fault.message,
      'Run `keyframe doctor` on the machine of the server.',
    );
  const broken = host.value.files.filter(({ problem }) => problem !== undefined);
  if (broken.length === 0) return ok(id, `archive_command finds its ${counted(host.value.files.length, 'file')}`);
  return fail(
    id,
    broken.map(({ path, problem }) => `${path} is ${problem}`).join('; '),
    'every WAL segment fails to be archived',
    'Install Keyframe where archive_command looks for it, readable for the server’s user, or run `keyframe setup --apply`.',
  );
}

/** Rights of a user who does not archive prove nothing. */
function checkUser(host: Gathered<HostEvidence>): Finding[] {
  if (!('value' in host) || host.value.ourUid === undefined || host.value.ourUid === host.value.serverUid) return [];
  const { ourUid, serverUid } = host.value;
  return [
    warn(
      'system-user',
      `this runs as uid ${ourUid}, archive_command as uid ${serverUid}`,
      'that this user may write to the repository does not mean that the server may',
      'Run `keyframe doctor` as the owner of the data directory, e.g. with `sudo -u postgres`.',
    ),
  ];
}

function checkTimeout({ archiveTimeoutSeconds }: ServerFacts): Finding {
  const id = 'archive-timeout';
  if (archiveTimeoutSeconds === undefined)
    return skipped(id, 'archive_timeout is not visible to this role', 'the role may not read all settings');
  if (archiveTimeoutSeconds > 0 && archiveTimeoutSeconds <= 3600)
    return ok(id, `archive_timeout is ${archiveTimeoutSeconds} s`);
  const what = archiveTimeoutSeconds === 0 ? 'archive_timeout is off' : `archive_timeout is ${archiveTimeoutSeconds} s`;
  return warn(
    id,
    what,
    'on a quiet server the last transactions wait that long before they are safe',
    "Set archive_timeout = '1min' and run `select pg_reload_conf()`.",
  );
}

function checkArchiver({ archiver, archiveMode }: ServerFacts): Finding {
  const id = 'archiver';
  if (archiver === undefined || archiveMode === 'off')
    return skipped(id, 'the archiver was not asked', 'archive_mode is off, or pg_stat_archiver is not visible');
  if (archiver.failing)
    return fail(
      id,
      `the archiver failed on ${archiver.lastFailedWal} at ${archiver.lastFailedTime}, ${counted(archiver.failedCount, 'failure')} in all`,
      'WAL piles up in pg_wal and the newest moments cannot be recovered',
      'Read the reason in the server log (`select pg_current_logfile()`), and try `keyframe wal push` by hand.',
    );
  return ok(
    id,
    `the archiver archived ${counted(archiver.archivedCount, 'file')}, ${counted(archiver.failedCount, 'attempt')} failed`,
  );
}

const OLD_SECONDS = 3600;

function checkLastArchived({ archiver, archiveTimeoutSeconds, wal, archiveMode }: ServerFacts): Finding {
  const id = 'last-archived';
  if (archiver === undefined || archiveMode === 'off')
    return skipped(id, 'the archiver was not asked', 'archive_mode is off, or pg_stat_archiver is not visible');
  const { lastArchivedAgeSeconds: age, lastArchivedWal } = archiver;
  if (age === undefined || lastArchivedWal === undefined)
    return warn(
      id,
      'nothing was archived yet',
      'no moment after a backup can be recovered',
      'Run `select pg_switch_wal()` and look again; `keyframe backup` does it too.',
    );
  const what = `${lastArchivedWal} was archived ${Math.round(age)} s ago`;
  const waiting = wal.readyFiles ?? 0;
  if (waiting > 2 && age > (archiveTimeoutSeconds || OLD_SECONDS))
    return fail(
      id,
      `${what}; waiting: ${counted(waiting, 'file')}`,
      'the archiver is stuck',
      'Look for a hanging archive_command with `ps`, and into the server log.',
    );
  return ok(id, waiting > 0 ? `${what}; waiting: ${counted(waiting, 'file')}` : what);
}

const SHORT_HOURS = 4;
const LONG_HOURS = 24;
const LEAST_SECONDS = 600;

/** How long the server can go on when archiving stops. */
function checkHeadroom({ wal }: ServerFacts, host: Gathered<HostEvidence>): Finding {
  const id = 'wal-headroom';
  const free = 'value' in host ? host.value.walFreeBytes : undefined;
  if (free === undefined)
    return skipped(id, 'free space for pg_wal is unknown', 'it can be measured on the machine of the server only');
  const gib = `${(free / 2 ** 30).toFixed(1)} GiB free for pg_wal`;
  const { bytesSinceReset, secondsSinceReset = 0 } = wal;
  if (bytesSinceReset === undefined || bytesSinceReset === 0 || secondsSinceReset < LEAST_SECONDS)
    return skipped(id, gib, 'the statistics of WAL are too young to tell how long that lasts');
  const hours = free / ((bytesSinceReset / secondsSinceReset) * 3600);
  const what = `${gib}: ${hours < 100 ? hours.toFixed(1) : '100 or more'} hours of WAL at its average rate`;
  const why = 'PostgreSQL stops when pg_wal is full, and it fills while archiving fails';
  const fix = 'Give pg_wal a larger file system, and set an alarm on pg_stat_archiver.';
  if (hours < SHORT_HOURS) return fail(id, what, why, fix);
  return hours < LONG_HOURS ? warn(id, what, why, fix) : ok(id, what);
}
