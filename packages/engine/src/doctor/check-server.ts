/** Settings of the server itself. @packageDocumentation */
import type { ServerFacts } from '@keyframe/postgres';
import { checkReceiver } from './check-receiver.ts';
import { fail, type Finding, ok, skipped, warn } from './finding.ts';

const OLDEST = 14;
const NEWEST = 18;

/** Version and settings that backup and recovery rest on. */
export function checkServer(facts: ServerFacts): Finding[] {
  return [
    checkVersion(facts),
    checkWalLevel(facts),
    checkWalSenders(facts),
    checkCrashSafety(facts, 'fsync', facts.fsync, 'a crash can corrupt the cluster, and every backup after it'),
    checkCrashSafety(
      facts,
      'full_page_writes',
      facts.fullPageWrites,
      'a crash can leave torn pages that recovery cannot mend',
    ),
    checkChecksums(facts),
    checkCompression(facts),
    checkTimeZone(facts),
    checkClock(facts),
    ...checkReceiver(facts),
  ];
}

const SHOW_FIX = 'Grant pg_read_all_settings to the role: `keyframe setup` prints the SQL.';

function unseen(id: string, setting: string): Finding {
  return skipped(id, `${setting} is not visible to this role`, 'the role may not read all settings', SHOW_FIX);
}

function checkVersion({ major, versionText }: ServerFacts): Finding {
  const what = `PostgreSQL ${versionText}`;
  if (major < OLDEST)
    return fail(
      'version',
      what,
      `Keyframe supports ${OLDEST} to ${NEWEST}`,
      `Upgrade to PostgreSQL ${OLDEST} or newer with pg_upgrade.`,
    );
  if (major > NEWEST)
    return warn(
      'version',
      what,
      `this Keyframe was tested with ${OLDEST} to ${NEWEST}`,
      'Look for a newer Keyframe with `npm outdated`, and try a restore before you rely on it.',
    );
  return ok('version', what);
}

function checkWalLevel({ walLevel }: ServerFacts): Finding {
  if (walLevel === undefined) return unseen('wal-level', 'wal_level');
  if (walLevel !== 'minimal') return ok('wal-level', `wal_level is ${walLevel}`);
  return fail(
    'wal-level',
    'wal_level is minimal',
    'the WAL lacks what recovery needs',
    'Set wal_level = replica and restart PostgreSQL, or run `keyframe setup --apply`.',
  );
}

function checkWalSenders({ maxWalSenders, usedWalSenders = 0 }: ServerFacts): Finding {
  if (maxWalSenders === undefined) return unseen('wal-senders', 'max_wal_senders');
  const free = maxWalSenders - usedWalSenders;
  const what = `${free} of ${maxWalSenders} WAL senders are free`;
  if (free < 1)
    return fail(
      'wal-senders',
      what,
      'a base backup needs one',
      'Raise max_wal_senders and restart PostgreSQL, or end a standby or receiver that is no longer used.',
    );
  if (free < 2)
    return warn(
      'wal-senders',
      what,
      'a base backup takes the last one',
      'Raise max_wal_senders and restart PostgreSQL.',
    );
  return ok('wal-senders', what);
}

function checkCrashSafety(_: ServerFacts, setting: string, value: boolean | undefined, why: string): Finding {
  const id = setting.replaceAll('_', '-');
  if (value === undefined) return unseen(id, setting);
  if (value) return ok(id, `${setting} is on`);
  return fail(id, `${setting} is off`, why, `Set ${setting} = on and run \`select pg_reload_conf()\`.`);
}

function checkChecksums({ dataChecksums }: ServerFacts): Finding {
  if (dataChecksums === undefined) return unseen('data-checksums', 'data_checksums');
  if (dataChecksums) return ok('data-checksums', 'data checksums are on');
  return warn(
    'data-checksums',
    'data checksums are off',
    'damage on disk is backed up unnoticed',
    'Stop the server and run `pg_checksums --enable`, when it suits.',
  );
}

function checkCompression({ walCompression, major }: ServerFacts): Finding {
  if (walCompression === undefined) return unseen('wal-compression', 'wal_compression');
  const hint = `Set wal_compression = ${major >= 15 ? 'lz4' : 'on'} to write less WAL, if CPU is to spare.`;
  return ok('wal-compression', `wal_compression is ${walCompression}`, walCompression === 'off' ? hint : undefined);
}

function checkTimeZone({ timeZone }: ServerFacts): Finding {
  if (timeZone === undefined) return unseen('time-zone', 'TimeZone');
  const fix =
    timeZone === 'UTC' || timeZone === 'Etc/UTC' || timeZone === 'GMT'
      ? undefined
      : 'Give `--time` with an offset: Keyframe refuses a time that could mean two moments.';
  return ok('time-zone', `the server's TimeZone is ${timeZone}`, fix);
}

const SKEW_MS = 2000;

function checkClock({ clockSkewMs, roundTripMs }: ServerFacts): Finding {
  const seconds = (Math.abs(clockSkewMs) / 1000).toFixed(1);
  const direction = clockSkewMs < 0 ? 'behind' : 'ahead of';
  if (!(Math.abs(clockSkewMs) - roundTripMs / 2 > SKEW_MS))
    return ok('clock', `the clocks of server and this machine agree`);
  return warn(
    'clock',
    `the server's clock is ${seconds} s ${direction} this machine's`,
    'a recovery target time means the clock of the server',
    'Run an NTP client (`timedatectl set-ntp true`) on both machines.',
  );
}
