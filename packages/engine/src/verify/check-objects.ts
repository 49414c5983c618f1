/** Reads objects, several at a time, each as far as is asked for and not remembered. @packageDocumentation */
import { type Abortable, hasCode, type KeyframeError } from '@keyframe/contracts';
import type { EpochArchive, ListedObject, ObjectProof } from '@keyframe/repository';
import { type Choice, type Step, stepFor } from './choice.ts';
import type { VerifyMemory } from './memory.ts';
import type { Cost } from './report.ts';

/** An object to be checked. */
export interface Task {
  readonly archive: EpochArchive;
  readonly object: ListedObject;
  /** Here its outline is read, and the rest later: a segment whose records are walked, an index that is compared. */
  readonly isWalked: boolean;
  /** What is read besides it then. */
  readonly besides?: Pick<Cost, 'readBytes' | 'requests'> | undefined;
  /** Damage of it is known: it is read whole, whatever is asked for and remembered. */
  readonly isSuspect?: boolean | undefined;
  /** Told of what was read. False: something is wrong with it, so it is not remembered as right. */
  proven(proof: ObjectProof): boolean;
  /** Told of what is wrong. */
  failed(error: KeyframeError): void;
  /** Told that a walked segment was not read before, or is another one now. */
  toWalk(root: string): void;
}

/** A task with what is to be done. */
export interface PlannedTask {
  readonly task: Task;
  readonly step: Step;
}

/** What outlines cost on average: the suffix with footer and table, and the header. */
const OUTLINE_BYTES = {
  pack: 66_000,
  manifest: 66_000,
  wal: 5_000,
  index: 5_000,
  record: 2_000,
  intent: 1_000,
  chain: 10_000,
} as const;
const FOOTER_BYTES = 160;
const SMALL_AT_ONCE = 8;
const WHOLE_AT_ONCE = 2;

/** Decides what to do with each. They are made one by one and kept nowhere: an archive may hold a million WAL files. */
export function* planTasks(tasks: Iterable<Task>, memory: VerifyMemory, choice: Choice): Generator<PlannedTask> {
  for (const task of tasks) {
    const step = task.isSuspect === true ? 'read' : stepFor(task.object, memory.get(task.object.key), choice);
    yield { task, step };
  }
}

/** Whether every byte of it is to be read here. */
function isWhole({ task, step }: PlannedTask, { level }: Choice): boolean {
  return task.isSuspect === true || (step === 'read' && level === 'content' && !task.isWalked);
}

/** What that will cost, were everything as it is remembered. */
export function costOf(planned: Iterable<PlannedTask>, choice: Choice): Cost {
  let [objects, readBytes, requests] = [0, 0, 0];
  for (const each of planned) {
    const { task, step } = each;
    if (step === 'leave') continue;
    const { kind, sizeBytes } = task.object;
    // The walk reads all of a segment.
    const isAll = isWhole(each, choice) || (step === 'read' && choice.level === 'content');
    objects += 1;
    requests += step === 'compare' ? 1 : isAll ? 5 : 2;
    const outline = step === 'compare' ? FOOTER_BYTES : OUTLINE_BYTES[kind];
    readBytes += isAll ? sizeBytes + Math.min(outline, sizeBytes) : Math.min(outline, sizeBytes);
    if (!isAll || task.besides === undefined) continue;
    readBytes += task.besides.readBytes;
    requests += task.besides.requests;
  }
  return { objects, readBytes, requests };
}

/** What was done. */
export interface Work {
  checked: number;
  remembered: number;
  leftOut: number;
  /** Of those checked: read whole, and held against hashes alone. */
  hashed: number;
  /** When the bytes of what is remembered were read, the longest ago; milliseconds since 1970. */
  oldestMs: number | undefined;
  readBytes: number;
  requests: number;
}

/** What the work is done with. */
export interface WorkContext {
  readonly memory: VerifyMemory;
  readonly choice: Choice;
  readonly now: () => number;
  readonly work: Work;
  readonly onProgress: () => void;
}

/** Checks them all: outlines many at a time, then whole objects, few at a time. `plan` gives all tasks each time. */
export async function checkObjects(
  plan: () => Iterable<PlannedTask>,
  context: WorkContext,
  options: Abortable,
): Promise<void> {
  const check = (each: PlannedTask, signal: AbortSignal): Promise<void> => checkOne(each, context, signal);
  // Packs and manifests, not WAL: there are few of them. What is read now may be remembered when its turn comes.
  const whole = new Set<string>();
  for (const each of plan()) if (isWhole(each, context.choice)) whole.add(each.task.object.key);
  const isMarked = ({ task }: PlannedTask): boolean => whole.has(task.object.key);
  await eachOf(
    filtered(plan(), (each) => !isMarked(each)),
    SMALL_AT_ONCE,
    check,
    options,
  );
  await eachOf(filtered(plan(), isMarked), WHOLE_AT_ONCE, check, options);
}

function* filtered<Item>(items: Iterable<Item>, isWanted: (item: Item) => boolean): Generator<Item> {
  for (const item of items) if (isWanted(item)) yield item;
}

async function checkOne(planned: PlannedTask, context: WorkContext, signal: AbortSignal): Promise<void> {
  const { task, step } = planned;
  const { work, memory, choice, now } = context;
  const { object, archive } = task;
  if (step === 'leave') {
    work.leftOut += 1;
    return;
  }
  const take = (proof: ObjectProof): void => {
    work.readBytes += proof.readBytes;
    work.requests += proof.requests;
  };
  try {
    if (step === 'compare') {
      const proof = await archive.checks.root(object, { signal });
      take(proof);
      const known = memory.get(object.key);
      if (known !== undefined && proof.root === known.root && task.proven(proof)) {
        work.remembered += 1;
        work.oldestMs = Math.min(work.oldestMs ?? known.atMs, known.atMs);
        return;
      }
    }
    const asked = isWhole({ task, step: 'read' }, choice) ? 'content' : 'outline';
    const proof = await archive.checks[asked](object, { signal });
    take(proof);
    work.checked += 1;
    // What was only hashed is remembered as that: another host may have the key.
    const level = proof.reading === 'hashed' ? 'hashes' : asked;
    if (level === 'hashes') work.hashed += 1;
    const { sizeBytes, stamp } = object;
    if (task.proven(proof)) memory.set(object.key, { root: proof.root, sizeBytes, level, atMs: now(), stamp });
    else memory.forget(object.key);
    if (task.isWalked) task.toWalk(proof.root);
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
    work.checked += 1;
    memory.forget(object.key);
    task.failed(error);
  } finally {
    context.onProgress();
  }
}

/** Works on several at once; the first fault stops the others. */
async function eachOf<Item>(
  items: Iterable<Item>,
  atOnce: number,
  work: (item: Item, signal: AbortSignal) => Promise<void>,
  { signal }: Abortable,
): Promise<void> {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const queue = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      both.throwIfAborted();
      await work(next.value, both);
    }
  };
  const workers = Array.from({ length: atOnce }, () =>
    worker().catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  const outcomes = await Promise.allSettled(workers);
  signal?.throwIfAborted();
  if (outcomes.some(({ status }) => status === 'rejected')) throw stop.signal.reason;
}
