/** Starts a restored data directory and follows its recovery to the target. @packageDocumentation */
import { once } from 'node:events';
import { appendFile, mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { formatLsn, KeyframeError } from '@keyframe/contracts';
import {
  type Environment,
  findPostgres,
  findRunner,
  handOver,
  type Installation,
  LocalServer,
  readPostmaster,
  type StartOutcome,
  type StartProgress,
} from '@keyframe/postgres';
import type { EngineEvent, StageOptions } from '../events.ts';
import { assertForked } from './assert-forked.ts';
import type { RecoveryPlan } from './plan.ts';
import { walToRead } from './wal-to-read.ts';

/** Which restored directory to start, and how. */
export interface StartRequest {
  readonly directory: string;
  /** Where its tablespaces are: they belong to the server's user as well. */
  readonly tablespaceDirectories: readonly string[];
  /** Over the port of the restored configuration. */
  readonly port?: number | undefined;
  readonly binDirectory?: string | undefined;
  readonly environment: Environment;
  /** Over the restored configuration, for this run alone. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

/** A restored server that has reached its target. */
export interface StartedServer {
  /** `recovered`: promoted and open for writes. */
  readonly state: 'recovered' | 'paused' | 'shut-down';
  readonly pid: number;
  readonly version: string;
  readonly address: string;
  readonly logFile: string;
  readonly replayedTo: string | undefined;
  /** PostgreSQL's own words for where it stopped. */
  readonly stopLine: string | undefined;
  readonly segmentsReplayed: number;
}

/**
 * Refuses before the restore what would fail after it: no PostgreSQL of that major, a port that is taken.
 * @throws {KeyframeError} UNSUPPORTED, INVALID_OPTION
 */
export async function checkStart(
  plan: RecoveryPlan,
  request: Pick<StartRequest, 'port' | 'binDirectory' | 'environment'>,
  options: StageOptions = {},
): Promise<void> {
  await findInstallation(plan, request, options);
  if (request.port !== undefined) await checkPort(request.port);
}

/**
 * Starts the server so that it outlives this process, and waits until recovery is over, or paused at the target.
 * @throws {KeyframeError} RECOVERY_FAILED, UNSUPPORTED, SERVER_REFUSED
 */
export async function startRestored(
  plan: RecoveryPlan,
  request: StartRequest,
  options: StageOptions = {},
): Promise<StartedServer> {
  const { directory } = request;
  const installation = await findInstallation(plan, request, options);
  const runner = await findRunner({ dataDirectory: directory, signal: options.signal });
  const logFile = await logFileIn(directory);
  for (const each of [directory, ...request.tablespaceDirectories]) await handOver(each, runner);
  options.onEvent?.({
    kind: 'phase',
    phase: 'start',
    message: `starting PostgreSQL ${installation.version} (${runner.description})`,
  });
  const server = await LocalServer.start(directory, {
    installation,
    runner,
    environment: request.environment,
    logFile,
    detached: true,
    settings: { ...request.settings, ...(request.port === undefined ? {} : { port: String(request.port) }) },
  });
  const outcome = await waitRecovered(server, plan, options);
  if (outcome === 'in-production') await assertForked(directory, plan);
  const { progress } = server;
  return {
    state: outcome === 'in-production' ? 'recovered' : outcome === 'shut-down' ? outcome : 'paused',
    pid: server.pid,
    version: installation.version,
    address: await addressOf(directory),
    logFile: server.logFile,
    replayedTo: progress.replayLsn === undefined ? undefined : formatLsn(progress.replayLsn),
    stopLine: progress.stoppedAt,
    segmentsReplayed: progress.segmentsRestored,
  };
}

/** Whoever stops waiting must know that the server does not stop with it. */
async function waitRecovered(server: LocalServer, plan: RecoveryPlan, options: StageOptions): Promise<StartOutcome> {
  try {
    return await server.waitReady({
      until: 'recovered',
      signal: options.signal,
      onProgress: (progress) => options.onEvent?.(replayEvent(progress, plan)),
    });
  } catch (error) {
    if (options.signal?.aborted === true && server.running)
      options.onEvent?.({
        kind: 'warning',
        message: `the server goes on recovering as pid ${server.pid}, log ${server.logFile}`,
        hint: `Stop it with \`pg_ctl -D ${server.dataDirectory} stop\` if you do not want it.`,
      });
    throw error;
  }
}

/** PostgreSQL's default log directory, so that nothing is written outside the target. */
async function logFileIn(directory: string): Promise<string> {
  const logs = join(directory, 'log');
  await mkdir(logs, { recursive: true, mode: 0o700 });
  const file = join(logs, 'keyframe-start.log');
  await appendFile(file, '', { mode: 0o600 });
  return file;
}

async function findInstallation(
  plan: RecoveryPlan,
  { binDirectory, environment }: Pick<StartRequest, 'binDirectory' | 'environment'>,
  options: StageOptions,
): Promise<Installation> {
  const major = Math.floor(plan.backup.postgresVersion / 10_000);
  const [found] = await findPostgres({ major, binDirectory, environment, signal: options.signal });
  if (found !== undefined) return found;
  throw new KeyframeError('UNSUPPORTED', `no PostgreSQL ${major} was found on this machine`, {
    hint: `Install PostgreSQL ${major}, name the directory of its programs with --bin-dir, or restore without --start.`,
    details: { major },
  });
}

async function checkPort(port: number): Promise<void> {
  const probe = createServer();
  try {
    probe.listen({ port, host: '127.0.0.1', exclusive: true });
    await once(probe, 'listening');
  } catch (cause) {
    const why = hasErrno(cause, 'EADDRINUSE') ? 'is taken' : 'cannot be used';
    throw new KeyframeError('INVALID_OPTION', `port ${port} ${why} on this machine`, {
      cause,
      hint: 'Choose another with --port.',
      details: { port },
    });
  } finally {
    probe.close();
  }
}

const hasErrno = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

async function addressOf(directory: string): Promise<string> {
  const postmaster = await readPostmaster(directory);
  if (postmaster === undefined) return 'not running';
  const socket = postmaster.socketDirectory === undefined ? undefined : `socket ${postmaster.socketDirectory}`;
  const tcp = postmaster.listenAddress === undefined ? undefined : `address ${postmaster.listenAddress}`;
  return `port ${postmaster.port ?? 'unknown'}, ${[socket, tcp].filter((each) => each !== undefined).join(', ')}`;
}

function replayEvent(progress: StartProgress, plan: RecoveryPlan): EngineEvent {
  return {
    kind: 'replay',
    lsn: progress.replayLsn,
    segment: progress.currentFile,
    done: progress.segmentsRestored,
    total: walToRead(plan.wal, plan.moment).length,
  };
}
