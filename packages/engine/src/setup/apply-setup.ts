import { type Abortable, KeyframeError } from '@keyframe/contracts';
import { quoteLiteral, type SqlSession } from '@keyframe/postgres';
import { pause } from '../pause.ts';
import type { SetupPlan } from './plan-setup.ts';

/** What was done, and what it takes to count. */
export interface AppliedSetup {
  /** Statements that ran, in order. */
  readonly ran: readonly string[];
  /** Settings that count only after a restart of the server. */
  readonly restart: readonly string[];
  /** Settings that something stronger overrides, such as the server's command line. */
  readonly overridden: readonly string[];
}

/**
 * Makes the role and changes the settings, with the rights of the session. Everything or nothing is tried: a setting that
 * belongs to something else stops it before the first statement.
 * @throws {KeyframeError} CONFLICT, SERVER_ERROR
 */
export async function applySetup(sql: SqlSession, plan: SetupPlan, options: Abortable = {}): Promise<AppliedSetup> {
  refuseBlocked(plan);
  const changes = plan.settings.filter(({ action }) => action === 'set');
  const statements = [
    ...plan.sql,
    ...changes.map(({ name, value }) => `ALTER SYSTEM SET ${name} = ${quoteLiteral(value)}`),
    ...(changes.length > 0 ? ['SELECT pg_reload_conf()'] : []),
  ];
  for (const statement of statements) {
    options.signal?.throwIfAborted();
    await sql.query(statement);
  }
  const reloaded = changes.filter(({ needsRestart }) => !needsRestart).map(({ name }) => name);
  return {
    ran: statements,
    restart: changes.filter(({ needsRestart }) => needsRestart).map(({ name }) => name),
    overridden: await notTaken(sql, reloaded, options),
  };
}

function refuseBlocked({ settings }: SetupPlan): void {
  const blocked = settings.filter(({ action }) => action === 'blocked');
  const [first] = blocked;
  if (first === undefined) return;
  const names = blocked.map(({ name, current }) => `${name} is ${JSON.stringify(current)}`).join(' and ');
  throw new KeyframeError('CONFLICT', `${names}, which is not Keyframe's; nothing was changed`, {
    hint: 'Find out what relies on it, then run `keyframe setup --apply --force` to replace it.',
    details: { setting: first.name, current: first.current },
  });
}

const PATIENCE_MS = 5000;

/** A reload is a signal to the postmaster, and sessions follow a moment later. Names that do not take their new value in time. */
async function notTaken(sql: SqlSession, names: readonly string[], { signal }: Abortable): Promise<readonly string[]> {
  if (names.length === 0) return [];
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const rows = await sql.query<{ name: string }>(
      `select name from pg_settings where name = any($1::text[]) and coalesce(sourcefile, '') not like '%postgresql.auto.conf'`,
      [names],
    );
    if (rows.length === 0 || performance.now() > deadline) return rows.map(({ name }) => name);
    await pause(50, signal);
  }
}
