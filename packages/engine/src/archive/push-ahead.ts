/**
 * Archives the WAL file PostgreSQL asks for and, while the process is up, those it will ask for next.
 *
 * The steady state needs this: a process start costs more than archiving a segment. What went ahead is marked in the spool,
 * from which the shell wrapper answers.
 * @packageDocumentation
 */
import { opendir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Abortable, isKeyframeError, parseWalFileName } from '@keyframe/contracts';
import type { EpochArchive } from '@keyframe/repository';
import { type PushContext, type PushReport, pushWal } from './push-wal.ts';
import { openSpool, type Spool } from './spool.ts';
import type { SpoolOptions } from './spool-run.ts';

/** How much goes ahead. */
export interface AheadOptions extends Abortable, SpoolOptions {
  /** Most files that are pushed beside the one asked for. */
  readonly maxAhead: number;
}

/** What became of the file that was asked for, and how many others are durable now too. */
export interface AheadReport extends PushReport {
  readonly ahead: number;
}

/** Segments of 16 MiB are held whole, so this bounds memory; more than two do not pay on a store without latency. */
const CONCURRENCY = 4;
const READY = '.ready';

/**
 * {@link pushWal}, then the files that `archive_status` lists as ready. Only the file asked for decides about success: what
 * fails ahead is asked for again by PostgreSQL itself.
 * @throws {KeyframeError} as pushWal
 */
export async function pushAhead(given: PushContext, path: string, options: AheadOptions): Promise<AheadReport> {
  const { signal, maxAhead } = options;
  const directory = dirname(path);
  const context = { ...given, archives: new Map<string, EpochArchive>() };
  const report = await pushWal(context, path, { signal });
  if (maxAhead === 0) return { ...report, ahead: 0 };
  const spool = await openSpool(dirname(directory), options);
  if (spool === undefined) return { ...report, ahead: 0 };
  const names = await nextReady(join(directory, 'archive_status'), basename(path), spool, maxAhead);
  return { ...report, ahead: await pushEach(context, directory, { names, spool, signal }) };
}

interface Batch extends Abortable {
  readonly names: readonly string[];
  readonly spool: Spool;
}

/** Some at a time; the first fault ends it. */
async function pushEach(context: PushContext, directory: string, { names, spool, signal }: Batch): Promise<number> {
  const left = names.values();
  let done = 0;
  let failed = false;
  const work = async (): Promise<void> => {
    for (const name of left) {
      if (failed || signal?.aborted === true) return;
      try {
        const { systemIdentifier } = await pushWal(context, join(directory, name), { signal });
        await spool.mark(name, systemIdentifier);
        done += 1;
      } catch (error) {
        if (!isKeyframeError(error) && !isAbort(error)) throw error;
        failed = true;
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return done;
}

const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';

/** The names PostgreSQL will offer next, in its order; one pass over the directory, however many there are. */
async function nextReady(status: string, current: string, spool: Spool, count: number): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of await opendir(status, { bufferSize: 1024 })) {
    if (!name.endsWith(READY)) continue;
    const file = name.slice(0, -READY.length);
    if (file === current || spool.has(file) || parseWalFileName(file) === undefined) continue;
    names.push(file);
  }
  return names.toSorted(archiverOrder).slice(0, count);
}

const isHistory = (name: string): boolean => name.endsWith('.history');

/** @see ready_file_comparator in src/backend/postmaster/pgarch.c */
function archiverOrder(one: string, other: string): number {
  if (isHistory(one) !== isHistory(other)) return isHistory(one) ? -1 : 1;
  return one < other ? -1 : 1;
}
