import { userInfo } from 'node:os';
import { hasCode } from '@keyframe/contracts';
import type { SetupPlan, SetupRequest } from '@keyframe/engine';
import type { ConnectionTarget } from '@keyframe/postgres';
import type { App } from '@keyframe/runtime';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderRights, rightsOf, type StoreRights } from '../output/store-rights.ts';
import type { TextOutput } from '../output/text.ts';

const DEFAULT_ROLE = 'keyframe';

export const command: Command = defineCommand({
  name: 'setup',
  summary: 'Prepare the server: a least-privilege role, archiving, and the repository',
  description: `Prints the SQL of the role, the lines of postgresql.conf and those of pg_hba.conf. With --apply it runs the SQL, changes the settings by ALTER SYSTEM, reloads them, creates the repository, and says what needs a restart. pg_hba.conf stays yours to edit.

--apply needs the rights of a superuser. It connects to the server of the config file as PGUSER or the system's user (such as postgres, by \`sudo -u postgres\`), or as --admin; its password comes from PGPASSWORD or the password file.

An archive_command that is not Keyframe's is never replaced without --force.

With --store it prints instead which rights that store must grant, in the provider's own words: \`writer\` backs up and archives, \`restorer\` reads, \`pruner\` reads and removes (\`keyframe expire\`), \`owner\` sets up buckets and rules.`,
  examples: [
    { run: 'keyframe setup', note: 'only print' },
    { run: 'keyframe setup --store s3 --access writer', note: 'the least rights that backups and archiving need' },
    { run: 'sudo -u postgres keyframe setup --apply --config /etc/keyframe/keyframe.yaml' },
  ],
  positionals: [],
  options: {
    apply: { kind: 'boolean', flag: '--apply', description: 'run the SQL, set the settings, create the repository' },
    force: { kind: 'boolean', flag: '--force', description: "replace an archive_command that is not Keyframe's" },
    role: {
      kind: 'string',
      flag: '--role',
      value: 'name',
      description: `the role to make; default the user of source.url, else ${DEFAULT_ROLE}`,
    },
    store: {
      kind: 'string',
      flag: '--store',
      value: 'name',
      description: 'print the rights that this store must grant',
    },
    access: {
      kind: 'string',
      flag: '--access',
      value: 'role',
      choices: ['writer', 'restorer', 'pruner', 'owner'],
      default: 'writer',
      description: 'whose rights: with --store',
    },
    admin: { kind: 'string', flag: '--admin', value: 'name', description: 'the superuser to connect as' },
    archiveTimeout: {
      kind: 'duration',
      flag: '--archive-timeout',
      value: 'duration',
      default: '1min',
      minimum: 1000,
      description: 'how long a quiet server may keep its last transactions to itself, where none is set',
    },
    major: {
      kind: 'integer',
      flag: '--major',
      value: 'number',
      default: '18',
      minimum: 14,
      maximum: 18,
      description: 'the version of PostgreSQL, for a server that cannot be asked',
    },
  },
  exits: {
    0: 'printed, or applied with nothing left to do',
    3: 'applied; the server must be restarted, or something overrides a setting',
    ...FAULT_EXITS,
  },
  async run({
    openApp,
    options,
    environment,
    signal,
    log,
  }): Promise<{ exit: number; report: SetupReport | StoreRights }> {
    const { adminTarget, lookAround } = await import('@keyframe/engine');
    const app = await openApp();
    if (options.store !== undefined) return { exit: 0, report: rightsOf(app, options.store, options.access) };
    const target = await app.connectionTarget();
    const admin = await adminTarget(target, options.admin, environment);
    const request = await requestFor(app, target, options);
    if (options.apply) return apply(app, admin, request, { signal });
    const now = (): number => app.host.now().getTime();
    const first = await lookAround(target, now, { signal });
    const sight = first.facts === undefined ? await lookAround(admin, now, { signal }) : first;
    if (sight.facts === undefined) log.warn(`the server was not asked: ${sight.fault.message}`);
    const { planSetup } = await import('@keyframe/engine');
    const plan = planSetup(sight.facts, withAddress(request, sight.clientAddress));
    return { exit: 0, report: { cluster: app.clusterName, ...plan, applied: undefined } };
  },
  renderText(report, out) {
    if ('document' in report) {
      renderRights(report, out);
      return;
    }
    const { applied, ...plan } = report;
    if (applied === undefined) renderPlan(plan, out);
    else renderApplied(plan, applied, out);
  },
  exitFor: (error) => (hasCode(error, 'CONFLICT') ? 2 : undefined),
});

interface SetupReport extends SetupPlan {
  readonly cluster: string;
  /** What `--apply` did. */
  readonly applied: Applied | undefined;
}

interface Options {
  readonly role: string | undefined;
  readonly force: boolean;
  readonly archiveTimeout: number;
  readonly major: number;
}

async function requestFor(app: App, target: ConnectionTarget, options: Options): Promise<SetupRequest> {
  const { quoteForCommandSetting } = await import('@keyframe/postgres');
  const { archiveArguments, commandTarget } = await import('../invocation.ts');
  const named = /^[a-z]+:\/\/([^:@/?]+)(?::[^@/]*)?@/.exec(app.cluster.source.displayUrl ?? '')?.[1];
  const role = options.role ?? (named === undefined || named === 'postgres' ? DEFAULT_ROLE : decodeURIComponent(named));
  return {
    role,
    database: target.database,
    from: target.hosts.some(({ host }) => host.startsWith('/'))
      ? { kind: 'socket' }
      : { kind: 'address', network: 'samehost' },
    systemUser: userInfo().username,
    archiveCommand: quoteForCommandSetting(archiveArguments(commandTarget(app))),
    archiveTimeoutSeconds: Math.round(options.archiveTimeout / 1000),
    force: options.force,
    majorIfUnknown: options.major,
  };
}

function withAddress(request: SetupRequest, address: string | undefined): SetupRequest {
  if (address === undefined || request.from.kind === 'socket') return request;
  return { ...request, from: { kind: 'address', network: `${address}/${address.includes(':') ? 128 : 32}` } };
}

async function apply(
  app: App,
  admin: ConnectionTarget,
  request: SetupRequest,
  options: { readonly signal: AbortSignal },
): Promise<{ exit: number; report: SetupReport }> {
  const { applySetup, clientAddressOf, planSetup } = await import('@keyframe/engine');
  const { connectSql, inspectServer } = await import('@keyframe/postgres');
  const sql = await connectSql(admin, options);
  try {
    const facts = await inspectServer(sql, { now: () => app.host.now().getTime() });
    const plan = planSetup(facts, withAddress(request, await clientAddressOf(sql)));
    // Before archive_command: the first WAL segment must find it.
    const { id } = await app.repository.init(options);
    const done = await applySetup(sql, plan, options);
    const exit = done.restart.length > 0 || done.overridden.length > 0 ? 3 : 0;
    return { exit, report: { cluster: app.clusterName, ...plan, applied: { ...done, repository: id } } };
  } finally {
    await sql.close();
  }
}

interface Applied {
  readonly ran: readonly string[];
  readonly restart: readonly string[];
  readonly overridden: readonly string[];
  /** Id of the repository. */
  readonly repository: string;
}

function renderPlan(plan: SetupPlan, out: TextOutput): void {
  out.line(`-- SQL for PostgreSQL ${plan.major}, as a superuser in database ${plan.database}:`);
  for (const statement of plan.sql) out.line(`${statement};`);
  out.line();
  out.line(`# ${plan.files.configuration}:`);
  for (const { name, value, current, action, needsRestart, why } of plan.settings) {
    const notes = [
      action === 'keep' ? 'as it is' : current === undefined ? undefined : `now ${JSON.stringify(current)}`,
      needsRestart ? 'needs a restart' : undefined,
      why,
      action === 'blocked' ? 'only with --force' : undefined,
    ].filter((note) => note !== undefined);
    const line = `${action === 'set' ? '' : '# '}${name} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
    out.line(notes.length === 0 ? line : `${line}  # ${notes.join('; ')}`);
  }
  renderAccess(plan, out);
  for (const warning of plan.warnings) out.line(out.style('warning', `# ${warning}`));
  out.line(
    '# `keyframe wal receive` streams WAL beside archive_command or in its place: it makes its slot itself; cap that with max_slot_wal_keep_size.',
  );
  out.line(
    '# `keyframe setup --apply` runs the SQL, makes the settings and creates the repository; the rest is yours to add.',
  );
}

function renderAccess({ hba, ident, files }: SetupPlan, out: TextOutput): void {
  out.line();
  out.line(`# ${files.hba}, above other lines that fit:`);
  for (const line of hba) out.line(line);
  if (ident.length === 0) return;
  out.line(`# ${files.ident}: which users of the system may be that role`);
  for (const line of ident) out.line(line);
}

function renderApplied(plan: SetupPlan, applied: Applied, out: TextOutput): void {
  for (const statement of applied.ran) out.line(`${out.style('good', 'ran')}  ${statement}`);
  out.line(`${out.style('good', 'repository')} ${applied.repository}`);
  renderAccess(plan, out);
  out.line('# These lines are yours to add; then: select pg_reload_conf()');
  out.line();
  for (const name of applied.overridden)
    out.line(
      out.style('bad', `${name} did not take its value: look for it in pg_file_settings and pg_settings.source`),
    );
  if (applied.restart.length > 0)
    out.line(out.style('warning', `restart PostgreSQL for ${applied.restart.join(' and ')}`));
  out.line(`Then \`keyframe doctor\` tells whether all is well, and \`keyframe backup\` takes the first backup.`);
}
