import type {
  ClusterHistory,
  EpochSurvey,
  LabelSurvey,
  LeaseHolder,
  LeaseView,
  Retention,
  Tombstone,
} from '@keyframe/repository';
import { readHistories } from '../archive/histories.ts';
import type { StageOptions } from '../events.ts';
import type { BackupFact, EpochFacts, ExpiryFacts, UnfinishedFact } from './facts.ts';

/** How an expiry learns what is in use. */
export interface FactsContext {
  readonly history: ClusterHistory;
  /** Who asks: the processes of its own host and boot can be looked at. */
  readonly holder: LeaseHolder;
  readonly stateOf: (holder: LeaseHolder) => Promise<'alive' | 'dead' | 'unknown'>;
  readonly now: () => Date;
  /** Why nothing may be removed now, such as a store that is behind the others. */
  readonly blocks?: (() => Promise<readonly string[]>) | undefined;
}

/** A backup that holds no lease for this long is taken for given up; its tombstone still waits for the grace period. */
const PATIENCE_MS = 86_400_000;
const SKEW_MS = 30_000;

/** @throws {KeyframeError} CORRUPT for a damaged history file or tombstone, UNAVAILABLE, ACCESS_DENIED */
export async function gatherFacts(
  context: FactsContext,
  retention: Retention,
  options: StageOptions,
): Promise<ExpiryFacts> {
  const { number: tombstoneNumber, state: tombstones } = await retention.tombstones.read(options);
  const restoring = (await retention.leases('restore/', options)).filter((lease) => isHeld(lease, context.now()));
  const backing = await retention.leases('backup', options);
  const holds = await retention.holds.list(options);
  const surveys = await retention.survey(options);
  const blocks = [...((await context.blocks?.()) ?? [])];
  const epochs: EpochFacts[] = [];
  for (const survey of surveys) {
    epochs.push(await epochFacts(context, survey, backing, options));
    const { number } = survey.archive.epoch;
    for (const { label, record, fault } of survey.labels)
      if (fault !== undefined && record === undefined && !isGoing(number, label)) blocks.push(fault.message);
  }
  return {
    epochs,
    tombstones,
    tombstoneNumber,
    holds,
    restoring: restoring.flatMap(({ name }) => restored(name) ?? []),
    blocks,
  };

  function isGoing(epoch: number, label: string): boolean {
    return tombstones.backups.some(
      (each) => each.epoch === epoch && each.label === label && each.kind !== 'packs' && isDecided(each),
    );
  }
}

/** For good: whatever lies under that label keeps nothing from going. */
function isDecided({ phase }: Tombstone): boolean {
  return phase === 'removing' || phase === 'fenced';
}

function isHeld({ released, expiresAt }: LeaseView, now: Date): boolean {
  return !released && Date.parse(expiresAt) + SKEW_MS > now.getTime();
}

/** `<epoch>.<label>.<token>`, as a restore names its lease. */
function restored(name: string): { readonly epoch: number; readonly label: string } | undefined {
  const [, epoch, label] = /^(\d+)\.([^.]+)\.[^.]+$/u.exec(name) ?? [];
  return epoch === undefined || label === undefined ? undefined : { epoch: Number(epoch), label };
}

async function epochFacts(
  context: FactsContext,
  survey: EpochSurvey,
  leases: readonly LeaseView[],
  options: StageOptions,
): Promise<EpochFacts> {
  const { archive, labels, timelines, companions } = survey;
  const epoch = archive.epoch.number;
  const unfinished: UnfinishedFact[] = [];
  for (const label of labels)
    if (label.intent !== undefined) unfinished.push(await unfinishedFact(context, epoch, label, leases));
  return {
    epoch,
    // Without a backup and without WAL the size matters to nobody.
    segmentSizeBytes: survey.segmentSizeBytes ?? 16 << 20,
    backups: labels.flatMap((label) => backupFact(epoch, label) ?? []),
    unfinished,
    labels,
    histories: [...(await readHistories(archive, survey, options)).values()],
    timelines,
    companions,
  };
}

function backupFact(epoch: number, { label, record, uses }: LabelSurvey): BackupFact | undefined {
  if (record === undefined) return undefined;
  const { type, timeline, startLsn, stopLsn, startedAt, stoppedAt } = record;
  return { epoch, label, type, timeline, startLsn, stopLsn, startedAt, stoppedAt, uses };
}

async function unfinishedFact(
  { holder: self, stateOf, now }: FactsContext,
  epoch: number,
  { label, intent, hasManifest }: LabelSurvey,
  leases: readonly LeaseView[],
): Promise<UnfinishedFact> {
  const { startedAt = '', holder = self, parent, resumes = [] } = intent ?? {};
  const bases = [...(parent === undefined ? [] : [parent]), ...resumes];
  const here = holder.host === self.host && holder.bootId === self.bootId;
  const dead = here && (await stateOf(holder)) === 'dead';
  const holds = leases.some((lease) => isHeld(lease, now()) && isSame(lease.holder, holder));
  const old = now().getTime() - Date.parse(startedAt) > PATIENCE_MS;
  return {
    epoch,
    label,
    startedAt,
    bases,
    state: dead || (old && !holds) ? 'given-up' : 'running',
    complete: hasManifest,
  };
}

function isSame(one: LeaseHolder, other: LeaseHolder): boolean {
  return (
    one.host === other.host &&
    one.bootId === other.bootId &&
    one.pid === other.pid &&
    one.processStart === other.processStart
  );
}
