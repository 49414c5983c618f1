import { setTimeout as sleep } from 'node:timers/promises';
import { Client, DatabaseError } from 'pg';
import type { Random } from './random.ts';

/** Where the sessions of a ledger connect, and where they note what they did. */
export interface SessionContext {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** Mean pause between two transactions of a session. */
  readonly pauseMs: number;
  readonly stopping: AbortSignal;
  /** Called before the transaction can possibly commit. */
  attempted(xid: number): void;
  /** Called once PostgreSQL has said that it is committed. */
  acknowledged(xid: number): void;
}

/** Accounts that money moves between; the sum over all of them is always 0. */
export const ACCOUNTS = 20;

/** One connection that runs transactions until told to stop, and connects again when the server went away. */
abstract class Session {
  protected readonly context: SessionContext;
  protected readonly random: Random;
  protected readonly number: number;
  #client: Client | undefined;

  constructor(context: SessionContext, random: Random, number: number) {
    this.context = context;
    this.random = random;
    this.number = number;
  }

  protected abstract transaction(client: Client): Promise<void>;
  /** Brings a fresh connection into a known state. */
  protected abstract prepare(client: Client): Promise<void>;
  /** Leaves nothing open. */
  protected async finish(_client: Client): Promise<void> {}

  /** Runs until the ledger stops. Faults of the connection are survived, anything else is not. */
  async run(): Promise<void> {
    const { stopping, pauseMs } = this.context;
    while (!stopping.aborted) {
      try {
        const client = (this.#client ??= await this.#connect());
        await this.transaction(client);
        const pause = Math.round(-Math.log(1 - this.random.fraction()) * pauseMs);
        if (pause > 0) await sleep(pause);
      } catch (error) {
        await this.#lost(error);
      }
    }
    try {
      if (this.#client !== undefined) await this.finish(this.#client);
    } catch (error) {
      await this.#lost(error);
    }
    await this.#client?.end();
  }

  async #connect(): Promise<Client> {
    const { host, port, database } = this.context;
    const client = new Client({ host, port, database, user: 'postgres', application_name: `ledger-${this.number}` });
    client.on('error', () => undefined); // the query that notices rejects
    await client.connect();
    await this.prepare(client);
    return client;
  }

  async #lost(error: unknown): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    client?.connection.stream.destroy();
    if (!isLostConnection(error)) throw error;
    await sleep(50);
  }

  /** `begin`, one row with our xid, and our xid. It is noted as attempted before anything else happens. */
  protected async begin(client: Client, parts: number): Promise<number> {
    await client.query('begin');
    const text = 'insert into ledger values (pg_current_xact_id()::xid::text::bigint, 1, $1, $2) returning xid';
    const { rows } = await client.query<{ xid: string }>(text, [parts, this.number]);
    const xid = Number(rows[0]?.xid);
    this.context.attempted(xid);
    return xid;
  }

  protected async commit(client: Client, xid: number): Promise<void> {
    await client.query('commit');
    this.context.acknowledged(xid);
  }
}

/** 57P0x: shut down or crashed; 08xxx: connection; else a fault of the socket, which carries a system error code. */
function isLostConnection(error: unknown): boolean {
  if (error instanceof DatabaseError) return /^(57P0|08)/.test(error.code ?? '');
  const text = error instanceof Error ? `${error.message} ${'code' in error ? String(error.code) : ''}` : '';
  return /ECONNREFUSED|ECONNRESET|ENOENT|EPIPE|terminated|not queryable|Connection ended/.test(text);
}

/** Inserts, several rows, transfers, savepoints, aborts and two-phase commits, at random. */
export class MixedSession extends Session {
  readonly #prepared: { readonly gid: string; readonly xid: number }[] = [];
  #count = 0;

  protected async prepare(client: Client): Promise<void> {
    await client.query("set synchronous_commit = on; set lock_timeout = '20s'");
    this.#prepared.length = 0;
    // What an earlier connection left prepared is brought to an end, else its locks and horizon stay for ever.
    const like = `ledger-${this.number}-%`;
    const { rows } = await client.query<{ gid: string; xid: string }>(
      'select gid, transaction::text as xid from pg_prepared_xacts where gid like $1',
      [like],
    );
    for (const { gid, xid } of rows) {
      this.context.attempted(Number(xid)); // it may be another ledger's, of before a restore
      await this.#end(client, { gid, xid: Number(xid) });
    }
  }

  protected override async finish(client: Client): Promise<void> {
    for (const prepared of this.#prepared.splice(0)) await this.#end(client, prepared);
  }

  protected async transaction(client: Client): Promise<void> {
    this.#count += 1;
    if (this.#prepared.length > 0 && this.random.chance(this.#prepared.length / 3)) {
      const [oldest] = this.#prepared.splice(0, 1);
      if (oldest !== undefined) await this.#end(client, oldest);
    }
    const roll = this.random.fraction();
    if (roll < 0.3) await this.#plain(client);
    else if (roll < 0.55) await this.#transfer(client);
    else if (roll < 0.8) await this.#savepoints(client);
    else if (roll < 0.9) await this.#twoPhase(client);
    else await this.#aborted(client);
  }

  async #plain(client: Client): Promise<void> {
    const parts = this.random.between(1, 5);
    const xid = await this.begin(client, parts);
    if (parts > 1) await this.#rows(client, xid, 2, parts, parts);
    await this.commit(client, xid);
  }

  async #rows(client: Client, xid: number, from: number, to: number, parts: number): Promise<void> {
    const text = 'insert into ledger select $1, part, $2, $3 from generate_series($4::int, $5::int) part';
    await client.query(text, [xid, parts, this.number, from, to]);
  }

  async #transfer(client: Client): Promise<void> {
    const xid = await this.begin(client, 1);
    const from = this.random.between(1, ACCOUNTS - 1);
    const to = this.random.between(from + 1, ACCOUNTS);
    const amount = this.random.between(-500, 500);
    // Always the lower account first, so that no two sessions wait for each other.
    await client.query('update ledger_account set balance = balance - $1 where id = $2', [amount, from]);
    await client.query('update ledger_account set balance = balance + $1 where id = $2', [amount, to]);
    await this.commit(client, xid);
  }

  /** One savepoint kept and one rolled back, at times one in the other, at times in a transaction that aborts. */
  async #savepoints(client: Client): Promise<void> {
    const xid = await this.begin(client, 3);
    await client.query('savepoint kept');
    await this.#rows(client, xid, 2, 2, 3);
    await client.query('savepoint dropped');
    await this.#rows(client, xid, 90, 90 + this.random.between(0, 3), 3);
    await client.query(this.random.chance(0.5) ? 'rollback to dropped' : 'rollback to dropped; release dropped');
    if (this.random.chance(0.5)) await client.query('release kept');
    await client.query('savepoint last');
    await this.#rows(client, xid, 3, 3, 3);
    if (this.random.chance(0.15)) await client.query('rollback');
    else await this.commit(client, xid);
  }

  async #twoPhase(client: Client): Promise<void> {
    const xid = await this.begin(client, 2);
    await client.query('savepoint kept');
    await this.#rows(client, xid, 2, 2, 2);
    const gid = `ledger-${this.number}-${this.#count}-${xid}`;
    await client.query(`prepare transaction '${gid}'`);
    this.#prepared.push({ gid, xid });
  }

  async #end(client: Client, { gid, xid }: { readonly gid: string; readonly xid: number }): Promise<void> {
    if (this.random.chance(0.25)) {
      await client.query(`rollback prepared '${gid}'`);
      return;
    }
    await client.query(`commit prepared '${gid}'`);
    this.context.acknowledged(xid);
  }

  async #aborted(client: Client): Promise<void> {
    const xid = await this.begin(client, 99);
    await this.#rows(client, xid, 2, 3, 99);
    await client.query('rollback');
  }
}

/** Row n holds the hash of row n - 1 and of itself: a lost or foreign row breaks every later one. */
export class ChainSession extends Session {
  protected async prepare(client: Client): Promise<void> {
    await client.query('set synchronous_commit = on');
  }

  protected async transaction(client: Client): Promise<void> {
    const xid = await this.begin(client, 1);
    await client.query(
      `insert into ledger_chain (n, xid, previous, hash)
       select n, $1::bigint, previous, md5(previous || ' ' || n || ' ' || $1::bigint)
       from (select coalesce(max(n), 0) + 1 as n,
                    coalesce((select hash from ledger_chain order by n desc limit 1), 'start') as previous
             from ledger_chain) last`,
      [xid],
    );
    await this.commit(client, xid);
  }
}
