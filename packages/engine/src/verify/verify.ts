/**
 * Proves that a repository holds what it must: every object that the backups and the WAL archive need is there, whole, and the
 * one that was written; WAL goes on without a gap from each backup to the newest segment of every timeline; what was signed is there.
 * @packageDocumentation
 */
import { counted, hasCode, KeyframeError, segmentName, type TimelineId } from '@keyframe/contracts';
import type { DamagedPack, EpochArchive, ListedObject, ObjectProof } from '@keyframe/repository';
import { type StageOptions } from '../events.ts';
import { type CheckedChain, checkChain, hitsOfFile } from './check-chain.ts';
import {
  checkObjects,
  costOf,
  type PlannedTask,
  planTasks,
  type Task,
  type Work,
  type WorkContext,
} from './check-objects.ts';
import { type Choice, stepFor } from './choice.ts';
import { gapsOf, type Hits, hitsOf } from './courses.ts';
import { compareIndexes, indexedSegments, indexTasks, tellOrphans } from './check-index.ts';
import { Findings } from './findings.ts';
import { noteDamage, type PackVerdicts } from './note-damage.ts';
import { tellReading } from './reading-remarks.ts';
import type { Cost, VerifyReport } from './report.ts';
import type { VerifyContext, VerifyRequest } from './request.ts';
import { settle } from './settle.ts';
import { type EpochSurvey, type NeededPack, neededPacks, survey, walObject, whatIn, isNamed } from './survey.ts';
import { tellTimes } from './tell-times.ts';
import { isMoved, runsOf, walkRun } from './walk-wal.ts';

/**
 * Verifies the history of a cluster. What is wrong is a finding, never an error: an error says that the store did not answer.
 * @throws {KeyframeError} UNAVAILABLE, ACCESS_DENIED, REPOSITORY_MISSING
 */
export async function verify(
  context: VerifyContext,
  request: VerifyRequest,
  options: StageOptions = {},
): Promise<VerifyReport> {
  const run = new Verification(context, request, options);
  try {
    return await run.run();
  } finally {
    // Also when it was aborted: what was checked is not checked again.
    await context.memory.close((key) => run.isKnown(key));
  }
}

/** Under this a manifest is remembered whose extents were held against files and packs. */
const COVERS = '#covers';

/** What is read beyond outlines: WAL segments by name and objects of the index by key, with their roots. */
interface ToWalk {
  readonly segments: Map<string, string>;
  readonly indexes: Map<string, string>;
}

class Verification {
  readonly #context: VerifyContext;
  readonly #request: VerifyRequest;
  readonly #options: StageOptions;
  #choice: Choice;
  readonly #findings = new Findings();
  readonly #work: Work = {
    checked: 0,
    remembered: 0,
    leftOut: 0,
    hashed: 0,
    oldestMs: undefined,
    readBytes: 0,
    requests: 0,
  };
  /** Packs of which damage is known, and those of them that turned out to be right. */
  #suspects: ReadonlyMap<string, DamagedPack> = new Map();
  readonly #right = new Set<string>();
  #surveys: readonly EpochSurvey[] = [];
  #cost: Cost = { objects: 0, readBytes: 0, requests: 0 };

  constructor(context: VerifyContext, request: VerifyRequest, options: StageOptions) {
    const { deep = false, since, sample, seed } = request;
    this.#context = context;
    this.#request = request;
    this.#options = options;
    this.#choice = { level: deep ? 'content' : 'outline', sinceMs: since?.getTime(), sample, seed };
  }

  /** Before everything was listed, nothing is forgotten. */
  isKnown(remembered: string): boolean {
    if (this.#surveys.length === 0) return true;
    const key = remembered.endsWith(COVERS) ? remembered.slice(0, -COVERS.length) : remembered;
    return this.#surveys.some(({ objects, wal }) => objects.has(key) || wal.has(key.slice(key.lastIndexOf('/') + 1)));
  }

  async run(): Promise<VerifyReport> {
    const { labels = [], head, dryRun = false } = this.#request;
    this.#phase('listing what is there');
    this.#surveys = await survey(this.#context.history, labels, this.#findings, this.#options);
    assertKnown(labels, this.#surveys);
    const damage = await this.#context.history.damage(this.#options);
    this.#suspects = await damage.read(this.#options);
    await this.#askForKeys();
    const needed = this.#request.walOnly === true ? new Map<string, NeededPack>() : await this.#packs();
    this.#findGaps();
    const chains: CheckedChain[] = [];
    for (const epoch of this.#surveys)
      chains.push(await checkChain(epoch, this.#findings, { ...this.#options, known: head, labels }));
    const walk = new Map<EpochSurvey, ToWalk>();
    for (const epoch of this.#surveys) walk.set(epoch, { segments: new Map(), indexes: new Map() });
    const plan = (): Iterable<PlannedTask> =>
      planTasks(this.#tasks(needed, chains, walk), this.#context.memory, this.#choice);
    this.#cost = costOf(plan(), this.#choice);
    const { objects, readBytes, requests } = this.#cost;
    this.#phase(
      `${counted(objects, 'object')} to read: about ${Math.ceil(readBytes / 2 ** 20)} MiB in ${counted(requests, 'request')}`,
    );
    if (!dryRun) {
      await checkObjects(plan, this.#workContext(), this.#options);
      for (const [epoch, { segments }] of walk) await this.#walkWal(epoch, segments);
      for (const [epoch, { indexes }] of walk) await this.#compareIndexes(epoch, indexes);
      for (const epoch of this.#surveys) tellOrphans(epoch, this.#findings);
      await this.#remember(chains);
      await settle(this.#surveys, this.#findings, this.#options);
      await tellTimes(this.#surveys, this.#findings, this.#options);
      tellReading(this.#choice, this.#work, this.#context.now(), this.#findings);
      if (this.#context.isAlone !== true)
        await noteDamage(damage, this.#verdicts(needed), this.#findings, this.#options);
    }
    return this.#report(chains);
  }

  async #packs(): Promise<Map<string, NeededPack>> {
    this.#phase('reading manifests');
    const { memory, now } = this.#context;
    const needed = await neededPacks(this.#surveys, async (epoch, record) => {
      const { key: object, root, sizeBytes } = record.manifest;
      const covers = `${object}${COVERS}`;
      const known = memory.get(covers);
      const listed = { key: covers, kind: 'manifest' as const, sizeBytes, name: record.label };
      const deep =
        this.#choice.level === 'content' &&
        this.#request.dryRun !== true &&
        (stepFor(listed, known, this.#choice) === 'read' || known?.root !== root);
      const options = { deep, signal: this.#options.signal };
      const { packs, faults, isLost } = await epoch.archive.checks.manifest(record, options);
      if (deep && faults.length === 0) memory.set(covers, { root, sizeBytes, level: 'content', atMs: now().getTime() });
      const hit = isLost ? [record.label] : [];
      for (const { key, error } of faults)
        if (this.#objectAt(key) !== undefined)
          this.#findings.manifest(key, `manifest of ${record.label}: ${whatIn(error)}`, hit);
        else if (key === object) this.#findings.missingManifest(key, hit);
      return packs ?? [];
    });
    for (const [key, { labels }] of needed)
      if (this.#objectAt(key) === undefined) this.#findings.missingPack(key, labels);
    return needed;
  }

  #findGaps(): void {
    for (const { archive, courses, inventory } of this.#surveys) {
      const { segmentSizeBytes } = inventory;
      const name = (timeline: TimelineId, number: bigint): string => segmentName(timeline, number, segmentSizeBytes);
      for (const gap of gapsOf(courses, inventory, segmentSizeBytes)) {
        const names = [name(gap.timeline, gap.first), name(gap.timeline, gap.last)] as const;
        const object = archive.checks.keyOf('wal', names[0]);
        this.#findings.gap({ object, names }, gap, hitsOf(courses, gap, segmentSizeBytes));
      }
    }
  }

  *#tasks(
    needed: ReadonlyMap<string, NeededPack>,
    chains: readonly CheckedChain[],
    walk: ReadonlyMap<EpochSurvey, ToWalk>,
  ): Generator<Task> {
    for (const [key, pack] of needed) {
      const found = this.#objectAt(key);
      if (found !== undefined) yield this.#packTask(found.archive, found.object, pack);
    }
    for (const [index, epoch] of this.#surveys.entries()) {
      if (this.#request.walOnly !== true) yield* this.#manifestTasks(epoch);
      const { segments, indexes } = walk.get(epoch) ?? { segments: new Map(), indexes: new Map() };
      for (const name of epoch.wal.keys()) {
        const object = walObject(epoch, name);
        if (object !== undefined) yield this.#walTask(epoch, object, chains[index], segments);
      }
      yield* indexTasks(epoch, this.#choice, this.#findings, indexes);
    }
  }

  #packTask(archive: EpochArchive, object: ListedObject, { use, labels }: NeededPack): Task {
    const hits = { backups: labels, moments: [] };
    const task = this.#task(
      archive,
      object,
      () => hits,
      'pack',
      ({ table }) => {
        if (table === undefined || isNamed(table, use)) {
          if (this.#suspects.has(object.key)) this.#right.add(object.key);
          return true;
        }
        this.#findings.otherPack(object.key, labels);
        return false;
      },
    );
    return { ...task, isSuspect: this.#suspects.has(object.key) };
  }

  #manifestTasks({ archive, objects, records }: EpochSurvey): Task[] {
    return records.flatMap(({ manifest, label }) => {
      const object = objects.get(manifest.key);
      // Missing, it was told when the manifest was read; damaged, the other copy still serves.
      if (object === undefined) return [];
      const task = this.#task(
        archive,
        object,
        () => ({ backups: [], moments: [] }),
        'pack',
        () => true,
      );
      const failed: Task['failed'] = (error) =>
        this.#findings.manifest(object.key, `manifest of ${label}: ${whatIn(error)}`, []);
      return [{ ...task, failed }];
    });
  }

  #walTask(epoch: EpochSurvey, object: ListedObject, chain: CheckedChain | undefined, walk: Map<string, string>): Task {
    const hits = (): Hits => hitsOfFile(epoch, object.name);
    const isWalked = this.#choice.level === 'content' && /^[0-9A-F]{24}$/.test(object.name);
    const task = this.#task(epoch.archive, object, hits, 'wal', ({ wal }) => {
      const signed = chain?.audit.walIdentity(object.name);
      if (wal === undefined || signed === undefined || signed === wal.identity) return true;
      this.#findings.signedWal('replaced', object.key, hits());
      return false;
    });
    return { ...task, isWalked, toWalk: (root) => void walk.set(object.name, root) };
  }

  #task(
    archive: EpochArchive,
    object: ListedObject,
    hits: () => Hits,
    area: 'pack' | 'wal',
    proven: (proof: ObjectProof) => boolean,
  ): Task {
    return {
      archive,
      object,
      isWalked: false,
      proven,
      failed: (error) => isMoved(object, error) || this.#findings.damaged(object.key, whatIn(error), hits(), area),
      toWalk: () => undefined,
    };
  }

  async #walkWal(epoch: EpochSurvey, names: ReadonlyMap<string, string>): Promise<void> {
    const { memory, now } = this.#context;
    for (const run of runsOf(epoch, (name) => names.has(name)))
      for await (const { name, fault: walked, isClosed } of walkRun(epoch, run, this.#options)) {
        const object = walObject(epoch, name);
        const root = names.get(name);
        if (object === undefined) continue;
        this.#work.requests += 1;
        this.#work.readBytes += object.sizeBytes;
        this.#progress();
        const fault = isClosed ? await this.#hashOnly(epoch, object) : walked;
        const level = isClosed ? 'hashes' : 'content';
        const { sizeBytes, stamp } = object;
        if (fault !== undefined) {
          memory.forget(object.key);
          this.#findings.damaged(object.key, fault, hitsOfFile(epoch, name), 'wal');
        } else if (root !== undefined && memory.get(object.key)?.root === root)
          memory.set(object.key, { root, sizeBytes, level, atMs: now().getTime(), stamp });
      }
  }

  async #compareIndexes(epoch: EpochSurvey, roots: ReadonlyMap<string, string>): Promise<void> {
    const context = { findings: this.#findings, ...this.#workContext() };
    await compareIndexes(epoch, roots, context, this.#options);
  }

  /** A host that may write only has no key to read with: its WAL is held against hashes, not walked. */
  async #hashOnly({ archive }: EpochSurvey, object: ListedObject): Promise<string | undefined> {
    this.#work.hashed += 1;
    try {
      await archive.checks.content(object, this.#options);
      return undefined;
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
      return whatIn(error);
    }
  }

  /** On a host without a key for content, hashes are as deep as it gets. */
  async #askForKeys(): Promise<void> {
    const [first] = this.#surveys;
    if (this.#choice.level !== 'content' || first === undefined) return;
    this.#choice = { ...this.#choice, canDecode: await first.archive.checks.canDecode(this.#options) };
  }

  #verdicts(needed: ReadonlyMap<string, NeededPack>): PackVerdicts {
    const { labels = [], walOnly = false } = this.#request;
    return {
      needed,
      right: this.#right,
      level: this.#choice.level,
      now: this.#context.now,
      isPartial: labels.length > 0 || walOnly,
      objectAt: (key) => this.#objectAt(key),
    };
  }

  /** A chain that is whole becomes the measure of later ones. */
  async #remember(chains: readonly CheckedChain[]): Promise<void> {
    for (const [index, { audit }] of chains.entries())
      if (audit.head !== undefined && audit.faults.length === 0)
        await this.#surveys[index]?.archive.chain.remember(audit.head);
  }

  #objectAt(key: string): { readonly archive: EpochArchive; readonly object: ListedObject } | undefined {
    for (const { archive, objects } of this.#surveys) {
      const object = objects.get(key);
      if (object !== undefined) return { archive, object };
    }
    return undefined;
  }

  #workContext(): WorkContext {
    return {
      memory: this.#context.memory,
      choice: this.#choice,
      now: () => this.#context.now().getTime(),
      work: this.#work,
      onProgress: () => this.#progress(),
    };
  }

  #phase(message: string): void {
    this.#options.onEvent?.({ kind: 'phase', phase: 'verify', message });
  }

  #progress(): void {
    const { readBytes } = this.#work;
    this.#options.onEvent?.({
      kind: 'bytes',
      phase: 'verifying',
      doneBytes: readBytes,
      totalBytes: this.#cost.readBytes,
    });
  }

  #report(chains: readonly CheckedChain[]): VerifyReport {
    const { checked, remembered, leftOut, hashed, oldestMs, readBytes, requests } = this.#work;
    const oldestReadAt = oldestMs === undefined ? undefined : new Date(oldestMs).toISOString();
    return {
      cluster: this.#context.history.name,
      level: this.#choice.level,
      findings: this.#findings.all,
      remarks: this.#findings.remarks,
      backups: this.#surveys.reduce((sum, { records }) => sum + records.length, 0),
      epochs: this.#surveys.map((epoch, index) => ({
        epoch: epoch.archive.epoch.number,
        segments: epoch.inventory.segments,
        indexedSegments: indexedSegments(epoch),
        timelines: epoch.inventory.timelines,
        chain: chains[index]?.state ?? { signed: false, entries: 0, head: undefined, rollbackExcluded: false },
      })),
      cost: this.#cost,
      spent: { objects: checked + remembered, readBytes, requests },
      coverage: { checked, remembered, leftOut, hashed, oldestReadAt },
      seed: this.#choice.sample === undefined ? undefined : this.#choice.seed,
      dryRun: this.#request.dryRun === true,
    };
  }
}

/** A label that is none would be verified in no time, and nothing be wrong. One whose record is damaged is a finding. */
function assertKnown(labels: readonly string[], surveys: readonly EpochSurvey[]): void {
  const isKnown = (label: string): boolean =>
    surveys.some(
      ({ records, objects }) =>
        records.some((each) => each.label === label) ||
        [...objects.keys()].some((key) => key.includes(`/backups/${label}/`)),
    );
  const unknown = labels.find((label) => !isKnown(label));
  if (unknown === undefined) return;
  throw new KeyframeError('BACKUP_NOT_FOUND', `there is no backup ${JSON.stringify(unknown)} to verify`, {
    hint: 'Name one of `keyframe list`, or none to verify all of them.',
    details: { label: unknown },
  });
}
