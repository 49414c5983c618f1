/** What every contender of the benchmark can do. @packageDocumentation */
import type { Cluster } from '@keyframe/testkit/postgres';
import type { Command } from './measure.ts';

/** Where one contender works. */
export interface Site {
  /** Its own empty directory. */
  readonly directory: string;
  /** The running server. */
  readonly cluster: Cluster;
  /** zstd level. */
  readonly level: number;
  /** A directory with pg_basebackup and its like that can do what the server's own may not: compress with zstd. */
  readonly clientBin: string;
}

/** A contender that is set up in its site. Its commands run in any order that makes sense, each as often as wanted. */
export interface Prepared {
  /** Setting of the server, with `%p` and `%f`. */
  readonly archiveCommand: string;
  /** The same of another server on a copy of the data, where the setting names the data directory. */
  readonly archiveCommandIn?: ((dataDirectory: string) => string) | undefined;
  /** Setting of a server that recovers in `dataDirectory`. */
  restoreCommand(dataDirectory: string): string;
  readonly backup: Command;
  /** Restores what {@link backup} made into an empty directory. */
  restore(directory: string): Command;
  /** What {@link backup} stored, WAL apart. */
  readonly backups: string;
  /** Where archived WAL comes to lie. */
  readonly wal: string;
  /** The next backup, built on the one before it. */
  readonly increment?: (() => Command) | undefined;
  /** Makes a directory that holds an older or damaged copy equal to the last backup. */
  readonly delta?: ((directory: string) => Command) | undefined;
  /** Requests to the store by the last command of that name; forgets them. */
  readonly requests?: ((command: string) => Promise<number>) | undefined;
  /** archive_command pushes what waits and answers for it later. Default false. */
  readonly goesAhead?: boolean | undefined;
  /** Work that belongs to archiving but is done for many segments at once, later. */
  readonly afterPush?: Command | undefined;
}

/** One row of the tables. */
export interface Contender {
  readonly title: string;
  /** Why it cannot run on this machine or with this server. */
  readonly missing?: string | undefined;
  readonly isKeyframe: boolean;
  /** Rows of one group do comparable work and are set against each other. */
  readonly group: string;
  readonly level: number;
  /** Takes part in the scenarios about increments. Default false. */
  readonly increments?: boolean | undefined;
  /** Why it cannot restore a chain of them here. */
  readonly missingChains?: string | undefined;
  /** Settings that its server needs in those. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** Takes part in the scenarios about base backups. Default true. */
  readonly backups?: boolean | undefined;
  /** Takes part in the scenarios about WAL. Default true. */
  readonly wal?: boolean | undefined;
  /** What pushing one segment after the other costs is a row. Default true. */
  readonly pushesByHand?: boolean | undefined;
  prepare(site: Site): Promise<Prepared>;
}

/** One word of a POSIX shell. */
export const word = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** A pipeline for /bin/sh that fails when any part of it fails. */
export const shell = (script: string): Command => ({ argv: ['bash', '-o', 'pipefail', '-euc', script] });
