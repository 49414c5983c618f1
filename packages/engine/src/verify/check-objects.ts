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
  /** A WAL segment whose records are to be walked: here its outline is read, and the walk reads the rest. */
  readonly isWalked: boolean;
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
  record: 2_000,
  intent: 1_000,
  chain: 10_000,
} as const;
const FOOTER_BYTES = 160;
const SMALL_AT_ONCE = 8;
const WHOLE_AT_ONCE = 2;

/** Decides what to do with each. They are made one by one and kept nowhere: an archive may hold a million WAL files. */
export function* planTasks(tasks: Iterable<Task>, memory: VerifyMemory, choice: Choice): Generator<PlannedTask> {
  for (const task of tasks) yield { task, step: stepFor(task.object, memory.get(task.object.key), choice) };
}

/** What that will cost, were everything as it is remembered. */
export function costOf(planned: Iterable<PlannedTask>, { level }: Choice): Cost {
  let [objects, readBytes, requests] = [0, 0, 0];
  for (const { task, step } of planned) {
    if (step === 'leave') continue;
    const { kind, sizeBytes } = task.object;
    const isWhole = step === 'read' && level === 'content';
    objects += 1;
    requests += step === 'compare' ? 1 : isWhole ? 5 : 2;
    const outline = step === 'compare' ? FOOTER_BYTES : OUTLINE_BYTES[kind];
    readBytes += isWhole ? sizeBytes + Math.min(outline, sizeBytes) : Math.min(outline, sizeBytes);
  }
  return { objects, readBytes, requests };
}

/** What was done. */
export interface Work {
  checked: number;
  remembered: number;
  leftOut: number;
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
  const isWhole = ({ task, step }: PlannedTask): boolean =>
    step === 'read' && context.choice.level === 'content' && !task.isWalked;
  const check = (each: PlannedTask, signal: AbortSignal): Promise<void> => checkOne(each, context, signal);
  // Packs and manifests, not WAL: there are few of them. What is read now may be remembered when its turn comes.
  const whole = new Set<string>();
  for (const each of plan()) if (isWhole(each)) whole.add(each.task.object.key);
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

async function checkOne({ task, step }: PlannedTask, context: WorkContext, signal: AbortSignal): Promise<void> {
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
      if (proof.root === memory.get(object.key)?.root && task.proven(proof)) {
        work.remembered += 1;
        return;
      }
    }
    const level = choice.level === 'content' && !task.isWalked ? 'content' : 'outline';
    const proof = await archive.checks[level](object, { signal });
    take(proof);
    work.checked += 1;
    if (task.proven(proof))
      memory.set(object.key, { root: proof.root, sizeBytes: object.sizeBytes, level, atMs: now() });
    if (task.isWalked) task.toWalk(proof.root);
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
    work.checked += 1;
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
