/** What the scenarios share. @packageDocumentation */
import { rm } from 'node:fs/promises';
import { loadavg } from 'node:os';
import path from 'node:path';
import type { Cluster } from '@keyframe/testkit/postgres';
import type { Contender, Site } from './contender.ts';
import type { Dataset } from './data/dataset.ts';
import type { Sample } from './samples.ts';

export interface Bench {
  readonly cluster: Cluster;
  readonly dataset: Dataset;
  readonly contenders: readonly Contender[];
  readonly clientBin: string;
  /** Everything temporary goes below. */
  readonly directory: string;
  /**
   * What a run made stays until all are done. ext4 searches long for an inode that was not deleted in the last minutes, so
   * that whoever creates many files after the clean-up of another would pay for it.
   */
  readonly keeps: boolean;
  readonly rounds: number;
  readonly tell: (text: string) => void;
  readonly record: (sample: Sample) => void;
  /** A contender could not do what it should: told in the tables, and the others go on. */
  readonly failed: (title: string, error: unknown) => void;
}

export const loadNow = (): number => loadavg()[0] ?? 0;

let made = 0;

/** A place that nothing was made in before. */
export function freshDirectory(bench: Bench, what: string): string {
  made += 1;
  return path.join(bench.directory, `${what}-${made}`);
}

/** Removes what a run made, unless it shall stay. */
export async function discard(bench: Bench, directory: string): Promise<void> {
  if (!bench.keeps) await rm(directory, { recursive: true, force: true });
}

/** A new site for a contender. */
export function siteFor(bench: Bench, contender: Contender): Site {
  const { cluster, clientBin } = bench;
  return { directory: freshDirectory(bench, 'site'), cluster, level: contender.level, clientBin };
}

/** The contenders that can run, each round beginning with another one, so that none always runs on a warmer machine. */
export function inTurn<T>(items: readonly T[], round: number): T[] {
  const first = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

/** Runs `each` for every contender in every round. */
export async function everyRound(
  bench: Bench,
  what: string,
  contenders: readonly Contender[],
  each: (contender: Contender) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < bench.rounds; round += 1)
    for (const contender of inTurn(contenders, round)) {
      bench.tell(`${what}, round ${round + 1} of ${bench.rounds}: ${contender.title}`);
      try {
        await each(contender);
      } catch (error) {
        bench.failed(contender.title, error);
      }
    }
}

/** Changes archive_command of the running server. */
export async function setArchiveCommand(cluster: Cluster, command: string): Promise<void> {
  await cluster.sql(`alter system set archive_command = '${command.replaceAll("'", "''")}'`);
  await cluster.sql('select pg_reload_conf()');
}
