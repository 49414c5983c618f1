import { setTimeout as sleep } from 'node:timers/promises';
import type { TimelineId } from '@keyframe/contracts';
import type { SqlOptions } from './cluster.ts';
import { ACCOUNTS, ChainSession, MixedSession, type SessionContext } from './ledger-session.ts';
import { Random } from './random.ts';

/** The part of a `Cluster` that a ledger needs. */
export interface LedgerCluster {
  readonly socketDirectory: string;
  readonly port: number;
  sql(query: string, options?: SqlOptions): Promise<string>;
}

/** How busy a ledger is, and where. */
export interface LedgerOptions {
  readonly seed: number;
  /** Sessions with mixed transactions, beside the one of the hash chain. Default 4. */
  readonly sessions?: number;
  /** Mean pause between two transactions of a session, in milliseconds. Default 2. */
  readonly pauseMs?: number;
  /** Default `postgres`. */
  readonly database?: string;
}

const SCHEMA = `
create table ledger (xid bigint not null, part int not null, parts int not null, session int not null);
create table ledger_chain (n bigint primary key, xid bigint not null, previous text not null, hash text not null);
create table ledger_account (id int primary key, balance bigint not null);
insert into ledger_account select id, 0 from generate_series(1, ${ACCOUNTS}) id;
`;

/**
 * A workload whose every transaction can be told from its trace: it writes rows with its own xid. Two-phase commits
 * need `max_prepared_transactions` of at least four times the sessions.
 */
export class Ledger {
  readonly seed: number;
  /** The timeline this ledger writes on. */
  readonly timeline: TimelineId;
  readonly #attempted = new Set<number>();
  readonly #acknowledged = new Set<number>();
  readonly #cluster: LedgerCluster;
  readonly #options: LedgerOptions;
  #running: { readonly controller: AbortController; readonly sessions: Promise<void>; fault?: unknown } | undefined;

  private constructor(cluster: LedgerCluster, timeline: TimelineId, options: LedgerOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.seed = options.seed;
    this.timeline = timeline;
  }

  /** Makes the tables, or takes up the ledger that a restored cluster has. Does not write yet. */
  static async open(cluster: LedgerCluster, options: LedgerOptions): Promise<Ledger> {
    const database = { database: options.database ?? 'postgres' };
    const there = await cluster.sql("select to_regclass('ledger') is not null", database);
    if (there === 'f') await cluster.sql(SCHEMA, database);
    const segment = await cluster.sql('select pg_walfile_name(pg_current_wal_lsn())');
    return new Ledger(cluster, Number.parseInt(segment.slice(0, 8), 16), options);
  }

  /** Transactions that have written something, whatever became of them. */
  get attempted(): ReadonlySet<number> {
    return this.#attempted;
  }

  /** Transactions of which PostgreSQL said that they are committed. */
  get acknowledged(): ReadonlySet<number> {
    return this.#acknowledged;
  }

  /** Starts all sessions. They run until {@link stop}, also over restarts and crashes of the server. */
  start(): void {
    if (this.#running !== undefined) throw new Error('the ledger already runs');
    const controller = new AbortController();
    const { socketDirectory: host, port } = this.#cluster;
    const { pauseMs = 2, database = 'postgres', sessions: count = 4 } = this.#options;
    const context: SessionContext = {
      host,
      port,
      database,
      pauseMs,
      stopping: controller.signal,
      attempted: (xid) => this.#attempted.add(xid),
      acknowledged: (xid) => this.#acknowledged.add(xid),
    };
    const random = new Random(this.seed);
    const sessions = [
      new ChainSession(context, random.fork(), 0),
      ...Array.from({ length: count }, (_, index) => new MixedSession(context, random.fork(), index + 1)),
    ].map((session) => session.run());
    const all = Promise.all(sessions).then(() => undefined);
    this.#running = { controller, sessions: all };
    // A session that fails ends all; stop() reports it.
    all.catch(() => controller.abort());
  }

  /** Ends every open and prepared transaction and closes the sessions. Needs the server to run. */
  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.controller.abort();
    await running?.sessions;
  }

  /** Runs for that long. */
  async run(milliseconds: number): Promise<void> {
    this.start();
    await sleep(milliseconds);
    await this.stop();
  }
}
