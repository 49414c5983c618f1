import { type Abortable, KeyframeError, type Log } from '@keyframe/contracts';
import type { Client, SFTPWrapper } from 'ssh2';
import { Channel } from './channel.ts';
import { addressOf, connect, type SeenHostKey } from './connect.ts';
import { connectionLost } from './lost.ts';
import type { SftpStoreOptions } from './options.ts';

interface Link {
  readonly client: Client;
  readonly channels: Channel[];
  opening: number;
  /** The server opens no more sessions. */
  isFull: boolean;
  isOver: boolean;
}

/** The connection of one store: made by the first call, and again by the next call after it was lost. */
export class Connection {
  readonly #options: SftpStoreOptions;
  readonly #log: Log;
  readonly #seen: SeenHostKey = { fingerprint: undefined };
  #link: Promise<Link> | undefined;

  constructor(options: SftpStoreOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  /** Runs `action` on the session that has the least to do. */
  async use<T>(action: (channel: Channel) => Promise<T>, options: Abortable = {}): Promise<T> {
    const channel = await this.acquire(options);
    try {
      return await action(channel);
    } finally {
      channel.users -= 1;
    }
  }

  /** A session for longer; whoever has it takes one off its `users` at the end. */
  async acquire({ signal }: Abortable = {}): Promise<Channel> {
    signal?.throwIfAborted();
    const channel = await raced(this.#choose(), signal);
    channel.users += 1;
    return channel;
  }

  /** Ends the connection; a later call makes another. */
  async close(): Promise<void> {
    const link = this.#link;
    this.#link = undefined;
    await link?.then(
      ({ client }) => client.end(),
      () => undefined,
    );
  }

  async #choose(): Promise<Channel> {
    const link = await this.#connected();
    const live = link.channels.filter(({ alive }) => alive);
    const least = live.toSorted((one, other) => one.users - other.users)[0];
    const mayOpen = !link.isFull && live.length + link.opening < this.#options.channels;
    if (least !== undefined && (least.users === 0 || !mayOpen)) return least; // without any another must be opened
    link.opening += 1;
    try {
      const channel = new Channel(await this.#open(link.client), addressOf(this.#options));
      link.channels.push(channel);
      return channel;
    } catch (error) {
      if (least === undefined || link.isOver) throw error;
      link.isFull = true;
      return least;
    } finally {
      link.opening -= 1;
    }
  }

  #connected(): Promise<Link> {
    const link = (this.#link ??= this.#connect());
    link.catch(() => this.#forget(link));
    return link;
  }

  #forget(link: Promise<Link>): void {
    if (this.#link === link) this.#link = undefined;
  }

  async #connect(): Promise<Link> {
    const client = await connect(this.#options, this.#seen, this.#log);
    const made: Link = { client, channels: [], opening: 0, isFull: false, isOver: false };
    const mine = this.#link;
    const over = (error?: unknown): void => {
      made.isOver = true;
      if (mine !== undefined) this.#forget(mine);
      for (const channel of made.channels) channel.fail(error);
    };
    client.on('error', over);
    client.on('close', () => over());
    client.on('end', () => over());
    // The first session belongs to the connection: whoever comes while others are opened has one to fall back on.
    try {
      made.channels.push(new Channel(await this.#open(client), addressOf(this.#options)));
    } catch (error) {
      client.destroy();
      throw error;
    }
    return made;
  }

  #open(client: Client): Promise<SFTPWrapper> {
    const where = addressOf(this.#options);
    return new Promise((resolve, reject) => {
      const lost = (): void => reject(connectionLost(where, undefined));
      client.once('close', lost);
      client.sftp((error, sftp) => {
        client.off('close', lost);
        if (error === undefined) resolve(sftp);
        else
          reject(
            new KeyframeError('UNAVAILABLE', `${where} opens no SFTP session: ${error.message}`, {
              cause: error,
              hint: 'Allow SFTP for the user (`Subsystem sftp` in sshd_config) and enough sessions (`MaxSessions`).',
            }),
          );
      });
    });
  }
}

/** Waits no longer than the caller does; what is waited for goes on for others. */
function raced<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
