import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type ClusterOptions, type Major } from '@keyframe/testkit/postgres';
import {
  type CallOptions,
  type Ended,
  type Fault,
  faultOf,
  reportOf,
  type Running,
  SELF,
  spawnKeyframe,
} from './keyframe.ts';
import type { BackupFacts, ListReport, RestoreFacts } from './reports.ts';

export interface SiteOptions extends ClusterOptions {
  /** Default true here: `false` for a cluster that must be known from that of another site. */
  readonly template?: boolean;
  /** Where the repository lies. Default: a directory of the site. */
  readonly repository?: string;
  /** Default `2min`: tests run on slow machines. */
  readonly walTimeout?: string;
  readonly compress?: string;
  /** Slots of `encrypt`. */
  readonly encrypt?: string;
  /** The map `receive` of the cluster. */
  readonly receive?: string;
  /** How many stores the repository has, of which more than half must have what is acknowledged. Default 1. */
  readonly stores?: number;
  /** Slots of `stores` as the file has them, in place of `stores` directories. */
  readonly slots?: readonly string[];
  /** More lines of the repository, such as `immutable: 30d`. */
  readonly repositoryLines?: readonly string[];
  /** Tell where the server's files lie, so that they can be read here. Default false. */
  readonly dataDirectory?: boolean;
  /** False leaves the server stopped and the repository uncreated. Default true. */
  readonly start?: boolean;
}

/** Settings with which the tests' servers run: archiving on, small, and with WAL kept for an oracle to read. */
const SITE_SETTINGS = {
  wal_level: 'replica',
  archive_mode: 'on',
  max_wal_senders: 6,
  max_prepared_transactions: 40,
  shared_buffers: '32MB',
  wal_keep_size: '4GB',
  autovacuum_naptime: '5s',
  timezone: 'Europe/Berlin',
} as const;

/** How long something that must happen may take on a machine that does much else. */
export const PATIENCE_MS = 180_000;

/** A PostgreSQL cluster with a repository and a config file: what one database team has. */
export class Site implements AsyncDisposable {
  /** Private directory of this site; removed on disposal. */
  readonly directory: string;
  readonly origin: Cluster;
  readonly repository: string;
  readonly config: string;
  readonly #stack: AsyncDisposableStack;
  #restores = 0;

  private constructor(parts: Pick<Site, 'directory' | 'origin' | 'repository'>, stack: AsyncDisposableStack) {
    this.directory = parts.directory;
    this.origin = parts.origin;
    this.repository = parts.repository;
    this.config = join(parts.directory, 'keyframe.yaml');
    this.#stack = stack;
  }

  static async create(major: Major, options: SiteOptions = {}): Promise<Site> {
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'kf-site-'));
    stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
    const archive = archiveCommand(join(directory, 'keyframe.yaml'));
    const settings = { ...SITE_SETTINGS, archive_command: archive, ...options.settings };
    const origin = stack.use(await Cluster.create(major, { template: true, ...options, settings }));
    const repository = options.repository ?? join(directory, 'repository');
    const site = new Site({ directory, origin, repository }, stack.move());
    try {
      await site.writeConfig(options);
      if (options.start === false) return site;
      await site.report(['repository', 'create']);
      await origin.start();
      return site;
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  #directories(count: number): string[] {
    return Array.from({ length: count }, (_, index) => {
      const place = index === 0 ? this.repository : `${this.repository}-${index + 1}`;
      return `{ use: fs, name: store${index + 1}, directory: ${JSON.stringify(place)} }`;
    });
  }

  /** Writes the config file, for the origin or for the server at another URL. */
  async writeConfig(
    options: Pick<
      SiteOptions,
      'walTimeout' | 'compress' | 'dataDirectory' | 'encrypt' | 'stores' | 'slots' | 'repositoryLines' | 'receive'
    > = {},
    url?: string,
    file: string = this.config,
  ): Promise<void> {
    const directory = options.dataDirectory === true ? `, dataDirectory: ${JSON.stringify(this.origin.data)}` : '';
    const { encrypt, compress, repositoryLines = [] } = options;
    const slots = options.slots ?? this.#directories(options.stores ?? 1);
    const count = slots.length;
    const lines = [
      ...(count === 1 ? [] : [`state: ${JSON.stringify(join(this.directory, 'state'))}`]),
      'clusters:',
      '  main:',
      `    source: { url: ${JSON.stringify(url ?? this.origin.url)}${directory} }`,
      '    repository: vault',
      `    walTimeout: ${options.walTimeout ?? '2min'}`,
      ...(options.receive === undefined ? [] : [`    receive: ${options.receive}`]),
      'repositories:',
      '  vault:',
      `    stores: [${slots.join(', ')}]`,
      ...repositoryLines.map((line) => `    ${line}`),
      ...(count === 1 ? [] : [`    quorum: ${Math.floor(count / 2) + 1}`]),
      ...(compress === undefined ? [] : [`    compress: ${compress}`]),
      ...(encrypt === undefined ? [] : [`    encrypt: ${encrypt}`]),
    ];
    await writeFile(file, `${lines.join('\n')}\n`);
  }

  /** Sets the archive_command that works, on a running server that had another. */
  async useArchiveCommand(): Promise<void> {
    await this.origin.sql(`alter system set archive_command = '${archiveCommand(this.config).replaceAll("'", "''")}'`);
    await this.origin.sql('select pg_reload_conf()');
  }

  /** Starts `keyframe` on this site's config file. */
  spawn(args: readonly string[], options: CallOptions & { readonly config?: string } = {}): Running {
    return spawnKeyframe(['--config', options.config ?? this.config, '--json', ...args], options);
  }

  /** Runs `keyframe` to its end, whatever that is. */
  keyframe(args: readonly string[], options: CallOptions & { readonly config?: string } = {}): Promise<Ended> {
    return this.spawn(args, options).ended;
  }

  /** Runs a command that must succeed. */
  async report<Report>(
    args: readonly string[],
    options: CallOptions & { readonly config?: string } = {},
  ): Promise<Report> {
    return reportOf(await this.keyframe(args, options), args.join(' ')) as Report;
  }

  /** What a command that must succeed prints for people. */
  async text(args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await spawnKeyframe(['--config', this.config, ...args]).ended;
    if (status !== 0) throw new Error(`keyframe ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Runs a command that must fail with a typed error. */
  async fault(args: readonly string[], options: CallOptions & { readonly config?: string } = {}): Promise<Fault> {
    return faultOf(await this.keyframe(args, options), args.join(' '));
  }

  backup(args: readonly string[] = []): Promise<BackupFacts> {
    return this.report(['backup', ...args]);
  }

  list(): Promise<ListReport> {
    return this.report(['list']);
  }

  /** A path in this site's directory that nothing has used. */
  freshPath(name = 'restored'): string {
    this.#restores += 1;
    return join(this.directory, `${name}-${this.#restores}`);
  }

  /** Restores to a fresh directory, or to `to`, without waiting for the disk. */
  restore(
    args: readonly string[],
    to: string = this.freshPath(),
    options: CallOptions & { readonly config?: string } = {},
  ): Promise<RestoreFacts> {
    return this.report(['restore', ...args, '--to', to, '--no-sync'], options);
  }

  /** A server over a restored directory, not yet started; stopped with the site at the latest. */
  async attach(dataDirectory: string): Promise<Cluster> {
    return this.#stack.use(await Cluster.attach(dataDirectory));
  }

  /** Restores, starts, and waits for the promotion. */
  async recover(args: readonly string[], options: CallOptions & { readonly config?: string } = {}): Promise<Cluster> {
    const { directory } = await this.restore(args, this.freshPath(), options);
    const cluster = await this.attach(directory);
    await cluster.start({ timeoutMs: PATIENCE_MS });
    await cluster.waitPromoted(PATIENCE_MS);
    return cluster;
  }

  /** Switches WAL and waits until everything written so far is archived. Gives the last segment's name. */
  async archiveAll(cluster: Cluster = this.origin, timeoutMs: number = PATIENCE_MS): Promise<string> {
    const segment = await switchWal(cluster);
    const deadline = performance.now() + timeoutMs;
    // Looking costs nothing, asking starts a psql: the mark goes away when the segment was archived.
    const mark = join(cluster.data, 'pg_wal', 'archive_status', `${segment}.ready`);
    while (existsSync(mark) && performance.now() < deadline) await sleep(10);
    while ((await cluster.sql("select coalesce(last_archived_wal, '') from pg_stat_archiver")).slice(0, 24) < segment) {
      if (performance.now() > deadline) throw new Error(`${segment} was not archived:\n${await cluster.log()}`);
      await sleep(50);
    }
    return segment;
  }

  /** Keys of the repository's objects below `prefix`, staging files left out. */
  async objects(prefix = ''): Promise<string[]> {
    const entries = await readdir(this.repository, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(this.repository.length + 1))
      .filter((key) => key.startsWith(prefix) && !key.startsWith('.keyframe-staging'))
      .toSorted();
  }

  /** An empty directory of the site. */
  async makeDirectory(name: string): Promise<string> {
    const path = this.freshPath(name);
    await mkdir(path, { mode: 0o700 });
    return path;
  }

  /** Runs at the end of the site, before its directory goes. */
  defer(cleanup: () => Promise<void> | void): void {
    this.#stack.defer(cleanup);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Writes a record, so that there is something to switch, and switches. Gives the name of the segment that is now complete. */
export async function switchWal(cluster: Cluster): Promise<string> {
  await cluster.sql("select pg_logical_emit_message(false, 'test', 'switch')");
  return cluster.sql('select pg_walfile_name(pg_switch_wal())');
}

/** `archive_command` of a checkout, as `keyframe setup` writes it. */
export function archiveCommand(config: string, options: readonly string[] = []): string {
  const words = [SELF.archiveWrapper, SELF.node, SELF.main, '--config', config, ...options];
  return `${words.map((word) => `'${word}'`).join(' ')} -- %p`;
}
