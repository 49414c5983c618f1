/**
 * The main job, for real: a server, a workload, a backup while it runs, a mistake, and the moment before it brought back.
 * @packageDocumentation
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyframeError } from '@keyframe/contracts';
import {
  connectSql,
  handOver,
  initdb,
  type Installation,
  LocalServer,
  quoteForCommandSetting,
  resolveConnection,
  type Runner,
  type SqlSession,
} from '@keyframe/postgres';
import type { Environment } from '@keyframe/postgres';
import { freePort } from './free-port.ts';
import { startWorkload } from './workload.ts';

/** What the demo plays with: a directory, a PostgreSQL, and a way to run Keyframe. */
export interface DemoContext {
  /** A new, empty directory; everything lies in it. */
  readonly directory: string;
  readonly installation: Installation;
  readonly runner: Runner;
  readonly environment: Environment;
  /** Runs a Keyframe command as a user would and gives what `--json` prints. */
  readonly keyframe: (args: readonly string[]) => Promise<CommandReport>;
  /** The words of archive_command for a config file and a cluster. */
  readonly archiveCommand: (configFile: string) => readonly string[];
  readonly say: (line: DemoLine) => void;
  readonly signal: AbortSignal;
}

/** A report of `--json`. */
export type CommandReport = Readonly<Record<string, unknown>>;

/** `step` is a heading, `command` what was run, `fact` what came of it. */
export interface DemoLine {
  readonly kind: 'step' | 'command' | 'fact' | 'proof';
  readonly text: string;
}

/** The facts that the demo proves. */
export interface DemoReport {
  readonly directory: string;
  readonly configFile: string;
  readonly postgres: string;
  readonly postgresFrom: string;
  readonly ranAs: string;
  readonly customersBefore: number;
  readonly customersDeleted: number;
  readonly deletedByXid: number;
  readonly deletedAt: string;
  readonly backup: string;
  readonly stopsAt: string;
  readonly lastKeptTime: string | undefined;
  readonly customersRestored: number;
  readonly sameContent: boolean;
  readonly ordersBefore: number;
  readonly ordersRestored: number;
  readonly laterRowsRestored: number;
  readonly proven: boolean;
  readonly restored: { readonly dataDirectory: string; readonly port: number; readonly socketDirectory: string };
}

const CUSTOMERS = 50_000;
const DELETED = 10_000;
const DIGEST = `select count(*)::int as rows, md5(string_agg(id || name || email, ',' order by id)) as digest from customers`;

/**
 * Runs the whole story. Servers are stopped before it returns, also after a fault.
 * @throws {KeyframeError} whatever a step raises; RECOVERY_FAILED when the restored rows are not the ones from before
 */
export async function runDemo(context: DemoContext): Promise<DemoReport> {
  await using stack = new AsyncDisposableStack();
  const origin = await startOrigin(context, stack);
  const sql = await openSession(context, origin, stack);
  await sql.query(`create table customers (id int primary key, name text not null, email text not null)`);
  await sql.query(
    `create table orders (id bigserial primary key, customer int not null, created_at timestamptz default clock_timestamp())`,
  );
  await sql.query(
    `insert into customers select i, 'customer ' || i, md5(i::text) || '@example.com' from generate_series(1, ${CUSTOMERS}) i`,
  );
  const workload = await startWorkload(() => openSession(context, origin, stack));
  stack.defer(() => workload.stop());
  const backup = await takeBackup(context);
  const mistake = await makeMistake(context, sql);
  await sql.query(`insert into customers select i, 'too late', 'later' from generate_series(1000001, 1000500) i`);
  await workload.stop();
  await archiveRest(context, sql);
  return await recover(context, stack, { backup, mistake });
}

interface Origin {
  readonly port: number;
  readonly socketDirectory: string;
}

async function startOrigin(context: DemoContext, stack: AsyncDisposableStack): Promise<Origin> {
  const { directory, installation, runner, environment, say, signal } = context;
  say({ kind: 'step', text: `Start PostgreSQL ${installation.version} with archive_command pointing at Keyframe` });
  const dataDirectory = join(directory, 'origin');
  const socketDirectory = join(directory, 'run');
  const port = await freePort();
  const config = configFileIn(directory);
  await mkdir(socketDirectory);
  await mkdir(join(directory, 'repository'));
  await writeFile(config, configText(directory, port));
  await handOver(directory, runner);
  const tool = { installation, runner, environment, signal };
  const archiveCommand = quoteForCommandSetting(context.archiveCommand(config));
  await initdb(dataDirectory, {
    ...tool,
    superuser: 'keyframe',
    auth: 'trust',
    dataChecksums: true,
    settings: {
      port: String(port),
      listen_addresses: '',
      unix_socket_directories: socketDirectory,
      wal_level: 'replica',
      archive_mode: 'on',
      archive_command: archiveCommand,
      max_wal_senders: '4',
      shared_buffers: '64MB',
    },
  });
  await run(context, ['repository', 'create']);
  say({ kind: 'command', text: `archive_command = '${archiveCommand}'` });
  const server = await LocalServer.start(dataDirectory, { ...tool, logFile: join(directory, 'origin.log') });
  stack.use(server);
  await server.waitReady({ signal, timeoutMs: 60_000 });
  return { port, socketDirectory };
}

const configFileIn = (directory: string): string => join(directory, 'keyframe.yaml');

const urlOf = ({ port, socketDirectory }: Origin): string =>
  `postgresql://keyframe@/postgres?host=${encodeURIComponent(socketDirectory)}&port=${port}`;

function configText(directory: string, port: number): string {
  const url = urlOf({ port, socketDirectory: join(directory, 'run') });
  return [
    'clusters:',
    '  shop:',
    `    source: { url: ${JSON.stringify(url)} }`,
    '    repository: vault',
    'repositories:',
    '  vault:',
    `    stores: [{ use: fs, directory: ${JSON.stringify(join(directory, 'repository'))} }]`,
    '',
  ].join('\n');
}

async function openSession(context: DemoContext, origin: Origin, stack: AsyncDisposableStack): Promise<SqlSession> {
  const session = await connectSql(await resolveConnection(urlOf(origin), {}), { signal: context.signal });
  stack.defer(() => session.close());
  return session;
}

async function run(context: DemoContext, args: readonly string[]): Promise<CommandReport> {
  context.say({
    kind: 'command',
    text: `keyframe ${args.map((word) => (/[^\w./:=-]/.test(word) ? `'${word}'` : word)).join(' ')}`,
  });
  return context.keyframe(['--config', configFileIn(context.directory), ...args]);
}

const mebibytes = (bytes: unknown): string => `${(Number(bytes) / 2 ** 20).toFixed(1)} MiB`;

async function takeBackup(context: DemoContext): Promise<string> {
  context.say({ kind: 'step', text: `Take a base backup while customers keep ordering (${CUSTOMERS} customers)` });
  const report = await run(context, ['backup']);
  const label = String(report['label']);
  context.say({
    kind: 'fact',
    text: `backup ${label}: ${mebibytes(report['sizeBytes'])} in ${String(report['files'])} files, stored in ${mebibytes(report['storedBytes'])}`,
  });
  return label;
}

interface Mistake {
  readonly xid: number;
  readonly at: string;
  readonly rows: number;
  readonly digest: string;
  readonly lastOrder: number;
  readonly orders: number;
}

async function makeMistake(context: DemoContext, sql: SqlSession): Promise<Mistake> {
  context.say({ kind: 'step', text: `The mistake: delete from customers where id <= ${DELETED}` });
  const [before] = await sql.query<{ rows: number; digest: string }>(DIGEST);
  const [orders] = await sql.query<{ id: string; rows: number }>(
    'select max(id)::text as id, count(*)::int as rows from orders',
  );
  await sql.query('begin');
  const [transaction] = await sql.query<{ xid: string }>('select pg_current_xact_id()::xid::text as xid');
  await sql.query(`delete from customers where id <= ${DELETED}`);
  const [moment] = await sql.query<{ at: string }>('select clock_timestamp()::text as at');
  await sql.query('commit');
  const xid = Number(transaction?.xid);
  context.say({ kind: 'fact', text: `${DELETED} customers gone at ${moment?.at}, by transaction ${xid}` });
  return {
    xid,
    at: moment?.at ?? '',
    rows: before?.rows ?? 0,
    digest: before?.digest ?? '',
    lastOrder: Number(orders?.id),
    orders: orders?.rows ?? 0,
  };
}

async function archiveRest(context: DemoContext, sql: SqlSession): Promise<void> {
  const [switched] = await sql.query<{ file: string }>('select pg_walfile_name(pg_switch_wal()) as file');
  const file = switched?.file ?? '';
  for (;;) {
    context.signal.throwIfAborted();
    const [archiver] = await sql.query<{ last: string | null }>(
      'select last_archived_wal as last from pg_stat_archiver',
    );
    if ((archiver?.last ?? '') >= file) return;
    await sql.query('select pg_sleep(0.1)');
  }
}

async function recover(
  context: DemoContext,
  stack: AsyncDisposableStack,
  { backup, mistake }: { backup: string; mistake: Mistake },
): Promise<DemoReport> {
  const { directory, say } = context;
  say({ kind: 'step', text: 'Ask what a recovery to just before that transaction would do' });
  const target = ['--before-xid', String(mistake.xid)];
  const plan = await run(context, ['plan', ...target]);
  const kept = plan['lastKept'] as { time: string } | undefined;
  const stopsAt = String(plan['stopsAt']);
  say({ kind: 'fact', text: `stops at LSN ${stopsAt}; last kept commit ${kept?.time ?? 'none'}` });
  say({ kind: 'step', text: 'Restore to that moment and start the result' });
  const dataDirectory = join(directory, 'restored');
  const report = await run(context, ['restore', ...target, '--to', dataDirectory]);
  const files = String(report['files']);
  say({ kind: 'fact', text: `${mebibytes(report['bytes'])} in ${files} files restored and verified` });
  const restored = { port: await freePort(), socketDirectory: join(directory, 'run') };
  stack.use(await startRestoredServer(context, dataDirectory, restored.port));
  const facts = await prove(context, await openSession(context, restored, stack), mistake);
  return {
    directory,
    configFile: configFileIn(directory),
    postgres: context.installation.version,
    postgresFrom: context.installation.source,
    ranAs: context.runner.description,
    customersBefore: mistake.rows,
    customersDeleted: DELETED,
    deletedByXid: mistake.xid,
    deletedAt: mistake.at,
    backup,
    stopsAt,
    lastKeptTime: kept?.time,
    ordersBefore: mistake.orders,
    ...facts,
    restored: { dataDirectory, ...restored },
  };
}

/** @throws {KeyframeError} RECOVERY_FAILED unless the rows are those from just before the mistake, and no later ones */
async function prove(
  { say }: DemoContext,
  sql: SqlSession,
  mistake: Mistake,
): Promise<Pick<DemoReport, 'customersRestored' | 'sameContent' | 'ordersRestored' | 'laterRowsRestored' | 'proven'>> {
  const [customers] = await sql.query<{ rows: number; digest: string }>(DIGEST);
  const [orders] = await sql.query<{ kept: number }>(
    `select count(*)::int as kept from orders where id <= ${mistake.lastOrder}`,
  );
  const [later] = await sql.query<{ rows: number }>('select count(*)::int as rows from customers where id > 1000000');
  const facts = {
    customersRestored: customers?.rows ?? 0,
    sameContent: customers?.digest === mistake.digest,
    ordersRestored: orders?.kept ?? 0,
    laterRowsRestored: later?.rows ?? -1,
  };
  const { customersRestored, sameContent, ordersRestored, laterRowsRestored } = facts;
  const complete = customersRestored === mistake.rows && sameContent && ordersRestored >= mistake.orders;
  if (!complete || laterRowsRestored !== 0)
    throw new KeyframeError('RECOVERY_FAILED', 'the restored rows are not the ones from before the mistake', {
      hint: 'Run the demo again with `--keep` and report what you find: this must never happen.',
      details: { ...facts, expected: mistake.rows },
    });
  say({
    kind: 'proof',
    text: `all ${customersRestored} customers are back, byte for byte (md5 ${mistake.digest}); rows written after the mistake: ${laterRowsRestored}`,
  });
  return { ...facts, proven: true };
}

async function startRestoredServer(context: DemoContext, dataDirectory: string, port: number): Promise<LocalServer> {
  const { directory, installation, runner, environment, signal } = context;
  const logFile = join(directory, 'restored.log');
  context.say({ kind: 'command', text: `postgres -D ${dataDirectory} -c port=${port}` });
  await handOver(dataDirectory, runner);
  const server = await LocalServer.start(dataDirectory, {
    installation,
    runner,
    environment,
    logFile,
    settings: { port: String(port) },
  });
  await server.waitReady({ until: 'recovered', signal, timeoutMs: 120_000 });
  context.say({ kind: 'fact', text: server.progress.stoppedAt ?? 'recovered' });
  return server;
}
