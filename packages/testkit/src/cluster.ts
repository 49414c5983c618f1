import type { ChildProcess } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensurePostgres, type Major, parseMajor } from './binaries.ts';
import { initialise } from './initdb.ts';
import { killTree } from './processes.ts';
import { type Finished, freePort, type RunOptions, runUnprivileged, spawnUnprivileged } from './runner.ts';

/** What a new cluster is made with. */
export interface ClusterOptions {
  /** Lines of postgresql.conf; values are quoted for you. `fsync` is off unless you say otherwise. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** WAL segment size in MiB, 1 to 1024. Default 16. */
  readonly walSegmentSizeMiB?: number;
  /** Default `UTF8`. */
  readonly encoding?: string;
  /** Data checksums. Default true. */
  readonly checksums?: boolean;
  /** More arguments for initdb. */
  readonly initdbArgs?: readonly string[];
  /** Listen on 127.0.0.1 too. Default true; the unix socket is always there. */
  readonly tcp?: boolean;
  /** Copy a cached initdb: quicker, but all such clusters share one system identifier. Default false. */
  readonly template?: boolean;
  /** Added to the server's environment. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** What one run of a server is started with. */
export interface StartOptions {
  /** Settings for this run alone, over those of the configuration files. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Added to the server's environment. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** How long to wait for it to accept connections. Default 60000. */
  readonly timeoutMs?: number;
}

/** Where and as whom a query runs. */
export interface SqlOptions {
  /** Default `postgres`. */
  readonly database?: string;
  /** Default `postgres`. */
  readonly user?: string;
}

interface Place {
  readonly major: Major;
  readonly bin: string;
  readonly directory: string;
  readonly data: string;
  readonly port: number;
  readonly listen: string;
  readonly environment: RunOptions['environment'];
}

const quoted = (value: string | number | boolean): string => `'${String(value).replaceAll("'", "''")}'`;

/**
 * A real PostgreSQL server of this process: `await using cluster = await Cluster.create(17)`. Disposing it stops the
 * server and removes everything it made; an attached data directory is left where it is.
 */
export class Cluster implements AsyncDisposable {
  readonly major: Major;
  /** Directory of the server's programs. */
  readonly bin: string;
  /** Private directory: log and socket, and room for a test's own files. Removed on disposal. */
  readonly directory: string;
  /** The data directory. */
  readonly data: string;
  readonly port: number;
  readonly #listen: string;
  readonly #environment: RunOptions['environment'];
  #child: ChildProcess | undefined;

  private constructor(place: Place) {
    this.major = place.major;
    this.bin = place.bin;
    this.directory = place.directory;
    this.data = place.data;
    this.port = place.port;
    this.#listen = place.listen;
    this.#environment = place.environment;
  }

  /** A fresh cluster, not yet started. */
  static async create(major: Major, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = await Cluster.#at(major, undefined, options);
    await initialise(cluster, options);
    const settings = {
      port: cluster.port,
      listen_addresses: cluster.#listen,
      unix_socket_directories: cluster.socketDirectory,
      fsync: false,
      ...options.settings,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quoted(value)}\n`);
    await appendFile(path.join(cluster.data, 'postgresql.conf'), lines.join(''));
    return cluster;
  }

  /**
   * Takes over an existing data directory, such as a restored one, without starting it. Port, socket and addresses are
   * given on the command line, so what its configuration says about them does not matter.
   */
  static async attach(dataDirectory: string, options: Pick<ClusterOptions, 'environment'> = {}): Promise<Cluster> {
    const major = parseMajor(await readFile(path.join(dataDirectory, 'PG_VERSION'), 'utf8'));
    return Cluster.#at(major, dataDirectory, options);
  }

  static async #at(major: Major, data: string | undefined, options: ClusterOptions): Promise<Cluster> {
    const bin = await ensurePostgres(major);
    const directory = await mkdtemp(path.join(tmpdir(), `kf-pg${major}-`));
    const cluster = new Cluster({
      major,
      bin,
      directory,
      data: data ?? path.join(directory, 'data'),
      port: await freePort(),
      listen: options.tcp === false ? '' : '127.0.0.1',
      environment: options.environment,
    });
    await mkdir(cluster.socketDirectory);
    return cluster;
  }

  get socketDirectory(): string {
    return path.join(this.directory, 's');
  }

  get logFile(): string {
    return path.join(this.directory, 'log');
  }

  /** A libpq URI through the unix socket. */
  get url(): string {
    return `postgresql://postgres@/postgres?host=${encodeURIComponent(this.socketDirectory)}&port=${this.port}`;
  }

  /** A libpq URI through 127.0.0.1. */
  get tcpUrl(): string {
    return `postgresql://postgres@127.0.0.1:${this.port}/postgres`;
  }

  /** The libpq variables that reach this server. {@link exec} sets them. */
  get connection(): Readonly<Record<'PGHOST' | 'PGPORT' | 'PGUSER' | 'PGDATABASE', string>> {
    return { PGHOST: this.socketDirectory, PGPORT: String(this.port), PGUSER: 'postgres', PGDATABASE: 'postgres' };
  }

  /** Pid of the running postmaster. */
  get pid(): number | undefined {
    const child = this.#child;
    return child === undefined || child.exitCode !== null || child.signalCode !== null ? undefined : child.pid;
  }

  /** Everything the server wrote to standard error since it was created or attached. */
  async log(): Promise<string> {
    return (await stat(this.logFile).catch(() => undefined)) === undefined ? '' : readFile(this.logFile, 'utf8');
  }

  /** Spawns the postmaster without waiting for it. {@link start} is what most tests want. */
  async launch(options: StartOptions = {}): Promise<void> {
    if (this.pid !== undefined) throw new Error(`the server in ${this.data} already runs`);
    const settings = {
      port: this.port,
      listen_addresses: this.#listen,
      unix_socket_directories: this.socketDirectory,
      ...options.settings,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    await using log = await open(this.logFile, 'a');
    this.#child = await spawnUnprivileged(path.join(this.bin, 'postgres'), ['-D', this.data, ...args], {
      output: log.fd,
      environment: { ...this.#environment, ...options.environment },
    });
    this.#child.stdin?.end();
    this.#child.once('error', () => undefined); // seen by waitReady as an exit
  }

  /**
   * Starts the server and waits until it accepts connections; during recovery that is once it is consistent.
   * @throws {Error} with the end of its log when it exits instead, or when the time is up
   */
  async start(options: StartOptions = {}): Promise<void> {
    await this.launch(options);
    await this.waitReady(options.timeoutMs);
  }

  /** Waits until the launched server accepts connections. */
  async waitReady(timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await this.#isReady())) {
      if (this.pid === undefined) throw new Error(`the server exited:\n${await this.#logTail()}`);
      if (performance.now() > deadline) throw new Error(`not ready in ${timeoutMs} ms:\n${await this.#logTail()}`);
      await sleep(15);
    }
  }

  /** Waits until a server in recovery has promoted itself. */
  async waitPromoted(timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    await this.waitReady(timeoutMs);
    for (;;) {
      const { status, stdout } = await this.tryExec('psql', ['-XAtc', 'select pg_is_in_recovery()']);
      if (status === 0 && stdout.trim() === 'f') return;
      if (this.pid === undefined) throw new Error(`the server exited:\n${await this.#logTail()}`);
      if (performance.now() > deadline) throw new Error(`still in recovery:\n${await this.#logTail()}`);
      await sleep(50);
    }
  }

  async #isReady(): Promise<boolean> {
    const file = await readFile(path.join(this.data, 'postmaster.pid'), 'utf8').catch(() => '');
    const lines = file.split('\n');
    return Number(lines[0]) === this.pid && lines[7]?.trim() === 'ready';
  }

  async #logTail(): Promise<string> {
    return (await this.log()).split('\n').slice(-25).join('\n');
  }

  /** Stops the server in order and waits for its end. Does nothing when it does not run. */
  async stop(mode: 'fast' | 'immediate' | 'smart' = 'fast'): Promise<void> {
    const signals = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;
    await this.#end((child) => child.kill(signals[mode]));
  }

  /** Kills the postmaster and its processes at once, as a crash of the machine would; a running archive_command lives on. */
  async kill9(): Promise<void> {
    await this.#end((child) => killTree(child.pid));
  }

  async restart(options: StartOptions & { readonly mode?: 'fast' | 'immediate' } = {}): Promise<void> {
    await this.stop(options.mode);
    await this.start(options);
  }

  /** Waits for the server to exit by itself, e.g. after `recovery_target_action = 'shutdown'`; resolves with its status. */
  async waitExit(): Promise<number> {
    return this.#end(() => undefined);
  }

  async #end(signal: (child: ChildProcess) => unknown): Promise<number> {
    const child = this.#child;
    if (child === undefined) return 0;
    if (this.pid !== undefined) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      await signal(child);
      await exited;
    }
    return child.exitCode ?? 128;
  }

  /** Runs one query (or several statements) and returns psql's unaligned rows, `|` between columns. */
  async sql(query: string, options: SqlOptions = {}): Promise<string> {
    const { database = 'postgres', user = 'postgres' } = options;
    const args = ['-v', 'ON_ERROR_STOP=1', '-XAtq', '-U', user, '-d', database, '-f', '-'];
    return (await this.exec('psql', args, { input: query })).trim();
  }

  /** Runs psql with those arguments, connected to this server. */
  async psql(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.exec('psql', args, options);
  }

  /**
   * Runs one of PostgreSQL's programs (pg_basebackup, pg_waldump, pgbench, …) to its end, connected to this server.
   * @throws {Error} with what it wrote to standard error when its status is not 0
   */
  async exec(tool: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    const done = await this.tryExec(tool, args, options);
    if (done.status === 0) return done.stdout;
    throw new Error(`${tool} ${args.join(' ')} ended with ${done.status}: ${done.stderr || done.stdout.slice(-2000)}`);
  }

  /** As {@link exec}, but resolves whatever the status. */
  async tryExec(tool: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const environment = { ...this.connection, ...options.environment };
    return runUnprivileged(path.join(this.bin, tool), args, { ...options, environment });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('immediate');
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}
