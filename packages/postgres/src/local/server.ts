/** Servers that Keyframe starts: for demos, drills and `restore --start`. @packageDocumentation */
import type { ChildProcess } from 'node:child_process';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { Environment } from '../connection/target.ts';
import type { Installation } from './find.ts';
import { explainExit, type LogTail } from './log.ts';
import { watchLogs } from './log-files.ts';
import { isAlive, isRunning, readPostmaster } from './postmaster.ts';
import { createGauge, type ProgressGauge, type StartProgress, titleFile, tryReadControl } from './progress.ts';
import { type Runner, spawnWith } from './runner.ts';
import type { RecoveryProbe } from '../sql/operations.ts';

/** How a server is started. */
export interface StartOptions {
  readonly installation: Pick<Installation, 'binDirectory'>;
  readonly runner: Runner;
  /** The server's environment, and that of its archive_command and restore_command: PATH matters. */
  readonly environment: Environment;
  /** Standard error goes here, appended. Its directory must exist. */
  readonly logFile: string;
  /** For this run alone, over the configuration files. Messages are in English unless `lc_messages` stands here. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** Goes on when this process ends. Default false. */
  readonly detached?: boolean | undefined;
}

/** What is waited for, how long, and who hears about it. */
export interface WaitOptions extends Abortable {
  /**
   * `accepting` (default): it answers queries, which a hot standby does before it has recovered to its target.
   * `recovered`: recovery is over or paused at its target.
   */
  readonly until?: 'accepting' | 'recovered' | undefined;
  /** Default: no limit but the signal. */
  readonly timeoutMs?: number | undefined;
  /** Default 100. */
  readonly pollMs?: number | undefined;
  readonly onProgress?: ((progress: StartProgress) => void) | undefined;
  readonly onLog?: ((line: string) => void) | undefined;
  /** Asked once it answers queries and is not known to be in production; resolves with `undefined` when it cannot tell. */
  readonly probe?: (() => Promise<RecoveryProbe | undefined>) | undefined;
}

/** How a start ended well. `shut-down`: recovery_target_action was shutdown. */
export type StartOutcome = 'accepting' | 'in-production' | 'paused' | 'shut-down';

type StopMode = 'smart' | 'fast' | 'immediate';
const STOP_SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

/** A postmaster that this process started. Disposing it stops it, unless it was started to go on. */
export class LocalServer implements AsyncDisposable {
  readonly dataDirectory: string;
  readonly logFile: string;
  readonly pid: number;
  readonly detached: boolean;
  readonly #child: ChildProcess;
  readonly #logs: LogTail;
  readonly #gauge: ProgressGauge = createGauge();

  private constructor(child: ChildProcess, pid: number, dataDirectory: string, options: StartOptions, logs: LogTail) {
    this.#child = child;
    this.pid = pid;
    this.dataDirectory = dataDirectory;
    this.logFile = options.logFile;
    this.detached = options.detached ?? false;
    this.#logs = logs;
  }

  /**
   * Starts a server on an existing data directory. {@link waitReady} tells what becomes of it.
   * @throws {KeyframeError} SERVER_REFUSED when one runs there already, UNSUPPORTED when the program cannot be run
   */
  static async start(dataDirectory: string, options: StartOptions): Promise<LocalServer> {
    const running = await isRunning(dataDirectory);
    if (running !== undefined)
      throw new KeyframeError('SERVER_REFUSED', `a server already runs on ${dataDirectory} (pid ${running.pid})`, {
        hint: `Stop it first: \`pg_ctl -D ${dataDirectory} stop\`.`,
        details: { dataDirectory, pid: running.pid },
      });
    const logs = await watchLogs(dataDirectory, options.logFile);
    await using log = await open(options.logFile, 'a', 0o600);
    // Progress and reasons are read from the log.
    const settings = Object.entries({ lc_messages: 'C', ...options.settings }).flatMap(([name, value]) => [
      '-c',
      `${name}=${value}`,
    ]);
    const program = path.join(options.installation.binDirectory, 'postgres');
    const child = spawnWith(program, ['-D', dataDirectory, ...settings], {
      ...options,
      stdio: ['ignore', log.fd, log.fd],
    });
    const pid = await started(child, program);
    if (options.detached === true) child.unref();
    return new LocalServer(child, pid, dataDirectory, options, logs);
  }

  /** True until the postmaster has ended. */
  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What is known so far; {@link waitReady} keeps it up to date. */
  get progress(): StartProgress {
    return this.#gauge.progress;
  }

  /**
   * Waits until the server answers, or has recovered.
   * @throws {KeyframeError} RECOVERY_FAILED with PostgreSQL's own reason when it ends instead, or when the time is up
   */
  async waitReady(options: WaitOptions = {}): Promise<StartOutcome> {
    const deadline = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.timeoutMs;
    for (;;) {
      options.signal?.throwIfAborted();
      const running = this.running;
      const outcome = await this.#look(options);
      options.onProgress?.(this.progress);
      if (outcome !== undefined) return outcome;
      // Asked before the look, so that what it wrote last has been read.
      if (!running) return this.#ended();
      if (performance.now() > deadline) throw this.#tooSlow(options.timeoutMs ?? 0);
      await sleep(options.pollMs ?? 100, undefined, { signal: options.signal });
    }
  }

  /** Stops the server and waits for its end. `immediate` leaves a crash recovery for the next start. */
  async stop(mode: StopMode = 'fast', { signal }: Abortable = {}): Promise<void> {
    if (this.running) this.#child.kill(STOP_SIGNALS[mode]);
    while (this.running) await sleep(20, undefined, { signal });
  }

  /** The last lines of its log, oldest first. */
  async recentLog(): Promise<readonly string[]> {
    for (const line of await this.#logs.read(!this.running)) this.#gauge.noteLine(line);
    return this.#logs.recent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.detached) await this.stop('fast');
  }

  async #look({ until = 'accepting', onLog, probe }: WaitOptions): Promise<StartOutcome | undefined> {
    for (const line of await this.#logs.read(!this.running)) {
      onLog?.(line);
      this.#gauge.noteLine(line);
    }
    if (!this.running) return undefined;
    this.#gauge.noteTitle(await titleFile(this.pid));
    const postmaster = await readPostmaster(this.dataDirectory);
    const accepting = postmaster?.pid === this.pid && postmaster.status === 'ready';
    if (accepting) this.#gauge.noteAccepting();
    this.#gauge.noteControl(await tryReadControl(this.dataDirectory));
    if (accepting && this.progress.phase === 'accepting') this.#gauge.noteProbe(await probe?.());
    const { phase } = this.progress;
    if (phase === 'in-production') return phase;
    if (!accepting) return undefined;
    if (phase === 'paused') return phase;
    return until === 'accepting' ? 'accepting' : undefined;
  }

  #ended(): StartOutcome {
    if (this.#child.exitCode === 0) return 'shut-down';
    const status = this.#child.signalCode ?? `status ${this.#child.exitCode}`;
    throw explainExit(this.#logs.recent, status, this.logFile);
  }

  #tooSlow(timeoutMs: number): KeyframeError {
    const { phase, replayLsn, currentFile } = this.progress;
    return new KeyframeError('RECOVERY_FAILED', `the server is still ${phase} after ${timeoutMs} ms`, {
      hint: `Read its log with \`tail ${this.logFile}\`; it goes on unless you stop it with \`pg_ctl -D ${this.dataDirectory} stop\`.`,
      details: { phase, replayLsn, currentFile, pid: this.pid },
    });
  }
}

/**
 * Stops whatever server runs on a data directory and waits for its end. False when none runs.
 */
export async function stopServer(
  dataDirectory: string,
  mode: StopMode = 'fast',
  { signal }: Abortable = {},
): Promise<boolean> {
  const running = await isRunning(dataDirectory);
  if (running === undefined) return false;
  process.kill(running.pid, STOP_SIGNALS[mode]);
  while (isAlive(running.pid) && (await isRunning(dataDirectory)) !== undefined) await sleep(20, undefined, { signal });
  return true;
}

function started(child: ChildProcess, program: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(child.pid ?? 0));
    child.once('error', (cause) =>
      reject(
        new KeyframeError('UNSUPPORTED', `${program} cannot be run`, {
          cause,
          hint: 'Name the directory of a PostgreSQL for this machine by `--bin-dir`.',
        }),
      ),
    );
  });
}
