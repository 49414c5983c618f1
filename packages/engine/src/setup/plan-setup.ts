/** What has to change on a server before Keyframe can work with it; decided here, done by `applySetup`. @packageDocumentation */
import { leastPrivilegeSql, type ServerFacts } from '@keyframe/postgres';
import { readArchiveCommand } from '../doctor/archive-command.ts';
import { type HbaRequest, renderHba } from './hba.ts';

/** What is wanted. */
export interface SetupRequest extends HbaRequest {
  /** The value of archive_command. */
  readonly archiveCommand: string;
  /** For a server that has archive_timeout off. */
  readonly archiveTimeoutSeconds: number;
  /** Replace an archive_command or archive_library that is not Keyframe's. */
  readonly force: boolean;
  /** For a server that was not looked at. */
  readonly majorIfUnknown: number;
}

/** One setting and what to do about it. */
export interface SettingPlan {
  readonly name: string;
  /** As it shall be. */
  readonly value: string;
  /** As it is; `undefined` when not known. */
  readonly current: string | undefined;
  /** `blocked`: belongs to something else, and `force` was not given. */
  readonly action: 'keep' | 'set' | 'blocked';
  readonly needsRestart: boolean;
  readonly why?: string | undefined;
}

/** Everything that has to be on the server, with what is there already. */
export interface SetupPlan {
  readonly major: number;
  readonly role: string;
  readonly database: string;
  readonly sql: readonly string[];
  readonly settings: readonly SettingPlan[];
  /** Lines of pg_hba.conf. */
  readonly hba: readonly string[];
  /** Lines of pg_ident.conf; empty when none are needed. */
  readonly ident: readonly string[];
  /** Where the server has these files; by their names alone where it was not asked. */
  readonly files: { readonly configuration: string; readonly hba: string; readonly ident: string };
  readonly warnings: readonly string[];
}

const WAL_SENDERS = 10;

/** Pure. A server that was not looked at (`undefined`) gets everything. */
export function planSetup(facts: ServerFacts | undefined, request: SetupRequest): SetupPlan {
  const major = facts?.major ?? request.majorIfUnknown;
  return {
    major,
    role: request.role,
    database: request.database,
    sql: leastPrivilegeSql(major, request.role),
    settings: [
      planWalLevel(facts),
      plan('archive_mode', 'on', facts?.archiveMode, { kept: facts?.archiveMode === 'always', restart: true }),
      planCommand(facts, request),
      ...planLibrary(facts, request),
      planTimeout(facts, request),
      planWalSenders(facts),
    ],
    ...renderHba(request),
    files: {
      configuration: facts?.configFile ?? 'postgresql.conf',
      hba: facts?.hbaFile ?? 'pg_hba.conf',
      ident: facts?.settings.get('ident_file')?.value ?? 'pg_ident.conf',
    },
    warnings: warningsOf(facts, request),
  };
}

function plan(
  name: string,
  value: string,
  current: string | undefined,
  {
    kept = false,
    restart = false,
    why,
  }: { readonly kept?: boolean; readonly restart?: boolean; readonly why?: string },
): SettingPlan {
  const keep = kept || current === value;
  return {
    name,
    value: keep ? (current ?? value) : value,
    current,
    action: keep ? 'keep' : 'set',
    needsRestart: !keep && restart,
    why,
  };
}

function planWalLevel(facts: ServerFacts | undefined): SettingPlan {
  const current = facts?.walLevel;
  return plan('wal_level', 'replica', current, { kept: current === 'logical', restart: true });
}

function planCommand(facts: ServerFacts | undefined, { archiveCommand, force }: SetupRequest): SettingPlan {
  const current = facts?.archiveCommand;
  const kind = readArchiveCommand(current ?? '').kind;
  const blocked = (kind === 'foreign' || kind === 'mixed') && current !== archiveCommand && !force;
  const planned = plan('archive_command', archiveCommand, current, {});
  if (!blocked) return planned;
  return { ...planned, action: 'blocked', why: 'it is not Keyframe’s: something may rely on it' };
}

/** Mentioned only where something is set: archive_library does not exist before 15. */
function planLibrary(facts: ServerFacts | undefined, { force }: SetupRequest): SettingPlan[] {
  const current = facts?.archiveLibrary;
  if (current === undefined || current === '') return [];
  const planned = plan('archive_library', '', current, { why: 'PostgreSQL ignores archive_command while it is set' });
  return [force ? planned : { ...planned, action: 'blocked' }];
}

function planTimeout(facts: ServerFacts | undefined, { archiveTimeoutSeconds }: SetupRequest): SettingPlan {
  const seconds = facts?.archiveTimeoutSeconds;
  const current = seconds === undefined ? undefined : `${seconds}s`;
  return plan('archive_timeout', `${archiveTimeoutSeconds}s`, current, { kept: seconds !== undefined && seconds > 0 });
}

function planWalSenders(facts: ServerFacts | undefined): SettingPlan {
  const { maxWalSenders: maximum, usedWalSenders = 0 } = facts ?? {};
  const current = maximum === undefined ? undefined : String(maximum);
  // One for a base backup, and one to spare.
  const wanted = Math.max(WAL_SENDERS, usedWalSenders + 2);
  return plan('max_wal_senders', String(wanted), current, {
    kept: maximum !== undefined && maximum - usedWalSenders >= 2,
    restart: true,
  });
}

function warningsOf(facts: ServerFacts | undefined, { role }: SetupRequest): string[] {
  if (facts === undefined) return ['the server was not looked at: what it already has is not known'];
  return [
    facts.inRecovery ? 'this is a standby: make the role and set archiving on its primary' : undefined,
    facts.role.superuser || facts.settings.has('archive_command')
      ? undefined
      : `${facts.role.name} sees only part of the settings, so more may be listed than has to change`,
    role === 'postgres' ? 'postgres is the superuser: name another role' : undefined,
  ].filter((warning) => warning !== undefined);
}
