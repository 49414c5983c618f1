/**
 * Creates an object on several stores so that of two writers at most one is told that it did.
 *
 * The stores are asked first, so that an object that is there, even if a crash left it on one store alone, is finished rather
 * than contradicted. Then all are written at once. Whoever finds another object than its own where it cannot have a write
 * set any more takes back what it has just created and finishes the other's.
 * @packageDocumentation
 */
import { createHash } from 'node:crypto';
import { type ByteSource, hasCode, KeyframeError, type ObjectInfo } from '@keyframe/contracts';
import { copyPlain } from './copy-object.ts';
import { byNearness, faultOf, type Member, namesOf, tooFew } from './member.ts';
import { digestOf, type Mirror } from './mirror.ts';
import { type Ballot, vote } from './vote.ts';
import { pause, within } from './waiting.ts';

/** Rounds in which the writer with the smaller object waits for the other one to take its own back. */
const ROUNDS = 6;
/** Rounds to finish an object that others change meanwhile. */
const SETTLE_ROUNDS = 8;
const FIRST_PAUSE_MS = 20;
const MOST_PAUSE_MS = 400;

interface Proposal {
  readonly key: string;
  readonly source: ByteSource;
  readonly signal: AbortSignal | undefined;
  /** Stores on which this very call has created the object. */
  readonly mine: Set<Member>;
  digest: string | undefined;
}

/** @throws {KeyframeError} ALREADY_EXISTS, once the object that is there is durable; UNAVAILABLE, CONFLICT */
export async function createObject(
  mirror: Mirror,
  { key, source }: { readonly key: string; readonly source: ByteSource },
  signal: AbortSignal | undefined,
): Promise<ObjectInfo> {
  const proposal: Proposal = { key, source, signal, mine: new Set(), digest: undefined };
  if (await isAnywhere(mirror, proposal)) return settle(mirror, proposal);
  for (let round = 0; ; round += 1) {
    const ballot = await propose(mirror, proposal);
    for (const member of ballot.created.keys()) proposal.mine.add(member);
    const [info] = ballot.created.values();
    if (info !== undefined && mirror.isDurable(proposal.mine)) {
      await mirror.owe(except(mirror, proposal.mine), 'copy', [key]);
      return { key, sizeBytes: info.sizeBytes, modifiedAt: info.modifiedAt };
    }
    signal?.throwIfAborted();
    if (ballot.present.size === 0) throw refusal(mirror, ballot);
    if (await mustYield(mirror, proposal, ballot, round)) {
      await takeBack(mirror, proposal);
      return settle(mirror, proposal);
    }
    await pause(FIRST_PAUSE_MS * 2 ** round, signal);
  }
}

/** Stores that do not keep up are asked only where the others are too few. */
async function propose(mirror: Mirror, { key, source, signal, mine }: Proposal): Promise<Ballot> {
  const request = { key, source, options: { ifAbsent: true, signal } };
  const isEnough = (created: Iterable<Member>): boolean => mirror.isDurable(new Set([...mine, ...created]));
  const open = mirror.asked.filter((member) => !mine.has(member));
  const current = open.filter((member) => !member.behind || member === mirror.lead);
  const voters = isEnough(current) ? current : open;
  const ballot = await vote(voters, request, isEnough);
  if (isEnough(ballot.created.keys()) || voters.length === open.length) return ballot;
  const rest = open.filter((member) => !voters.includes(member));
  const created = new Set(ballot.created.keys());
  const second = await vote(rest, request, (more) => isEnough([...created, ...more]));
  return {
    created: new Map([...ballot.created, ...second.created]),
    present: new Set([...ballot.present, ...second.present]),
    faults: new Map([...ballot.faults, ...second.faults]),
    late: [...ballot.late, ...second.late],
  };
}

/** Whether any store has the object. Waits for no more stores than an acknowledged object could hide from. */
async function isAnywhere(mirror: Mirror, { key, signal }: Proposal): Promise<boolean> {
  const found = Promise.withResolvers<boolean>();
  const silent = new Set(mirror.asked);
  const asking = mirror.asked.map(async (member) => {
    const info = await member
      .use((store) => store.stat(key, { signal }))
      .catch((error: unknown) => {
        if (hasCode(error, 'INVALID_OPTION') || signal?.aborted === true) throw error;
      });
    if (info !== undefined) found.resolve(true);
    silent.delete(member);
    if (!mirror.isDurable(silent)) found.resolve(false);
  });
  return Promise.race([found.promise, Promise.all(asking).then(() => found.promise)]);
}

/** Which stores hold which object, by its digest; those that did not answer are in `faults`. */
interface Sight {
  readonly versions: ReadonlyMap<string, Member[]>;
  readonly absent: readonly Member[];
  readonly faults: ReadonlyMap<Member, unknown>;
}

async function look(mirror: Mirror, { key, signal }: Proposal): Promise<Sight> {
  const versions = new Map<string, Member[]>();
  const absent: Member[] = [];
  const faults = new Map<Member, unknown>();
  const asked = mirror.asked;
  const done = Promise.all(
    asked.map(async (member) => {
      try {
        const digest = await digestOf(member, key, signal);
        if (digest === undefined) absent.push(member);
        else versions.set(digest, [...(versions.get(digest) ?? []), member]);
      } catch (error) {
        faults.set(member, error);
      }
    }),
  );
  // A store that hangs must not keep the others waiting when they can decide.
  while (!(await within(100, done))) {
    signal?.throwIfAborted();
    const silent = asked.filter(
      (member) => !absent.includes(member) && ![...versions.values()].flat().includes(member),
    );
    if ([...versions.values()].some((holders) => mirror.isDurable(holders)) && !mirror.isDurable(silent)) break;
  }
  const inOrder = (members: readonly Member[]): Member[] => asked.filter((member) => members.includes(member));
  const sorted = [...versions].map(([digest, holders]): [string, Member[]] => [digest, inOrder(holders)]);
  return { versions: new Map(sorted), absent: inOrder(absent), faults: new Map(faults) };
}

/** Finishes the object that is there. */
async function settle(mirror: Mirror, proposal: Proposal): Promise<ObjectInfo> {
  const { key, signal } = proposal;
  for (let round = 0; round < SETTLE_ROUNDS; round += 1) {
    const sight = await look(mirror, proposal);
    signal?.throwIfAborted();
    const winner = chooseVersion(mirror, sight);
    if (winner === undefined && sight.faults.size > 0 && mirror.couldHide(sight.faults.keys()))
      throw tooFew(`which object ${key} counts cannot be told`, sight.faults);
    if (winner === undefined) break;
    const [digest, found] = winner;
    const holders = new Set(found);
    if (!mirror.isDurable(holders)) await spread(mirror, proposal, sight.absent, holders);
    if (!mirror.isDurable(holders)) {
      // Of two writers who met here one is about to take its object back.
      if (sight.absent.length === 0 && round === SETTLE_ROUNDS - 1) throw undecided(mirror, key, sight);
      await pause(Math.min(MOST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** round), signal);
      continue;
    }
    mirror.pin(key, [...holders]);
    await mirror.owe(except(mirror, holders), 'copy', [key]);
    proposal.digest ??= await digest256(proposal.source);
    // Another writer may have finished ours while we took it back: then it is ours that counts.
    if (proposal.mine.size > 0 && proposal.digest === digest) return infoOf(mirror, key, [...holders], signal);
    throw new KeyframeError('ALREADY_EXISTS', `object '${key}' already exists`, { details: { key } });
  }
  signal?.throwIfAborted();
  throw new KeyframeError('UNAVAILABLE', `other writers create and remove ${key} again and again`, {
    hint: 'Repeat the command when fewer of them run at the same time.',
    details: { key },
  });
}

/** The one that is durable, or the lead's, or else the first in the order of the stores: everyone chooses the same. */
function chooseVersion(mirror: Mirror, { versions, faults }: Sight): [string, Member[]] | undefined {
  const all = [...versions];
  const { lead } = mirror;
  const durable = all.find(([, holders]) => mirror.isDurable(holders));
  if (durable !== undefined) return durable;
  const leads = lead === undefined ? undefined : all.find(([, holders]) => holders.includes(lead));
  if (leads !== undefined) return leads;
  if (lead !== undefined && faults.has(lead)) throw tooFew(`the lead ${lead.name} cannot be asked`, faults);
  const order = mirror.asked;
  const place = ([, holders]: [string, Member[]]): number => Math.min(...holders.map((each) => order.indexOf(each)));
  return all.toSorted((one, other) => place(one) - place(other))[0];
}

async function spread(
  mirror: Mirror,
  { key, signal }: Proposal,
  absent: readonly Member[],
  holders: Set<Member>,
): Promise<void> {
  const [from] = byNearness([...holders]);
  if (from === undefined) return;
  const enough = Promise.withResolvers<void>();
  const copying = absent.map(async (member) => {
    try {
      await copyPlain(from, member, key, signal);
      holders.add(member);
      if (mirror.isDurable(holders)) enough.resolve();
    } catch (error) {
      signal?.throwIfAborted();
      member.note(error);
    }
  });
  await Promise.race([enough.promise, Promise.all(copying)]);
}

/** With a lead, its object counts. Without, the greater one gives way; if the other writer is dead, the smaller one too. */
async function mustYield(mirror: Mirror, proposal: Proposal, ballot: Ballot, round: number): Promise<boolean> {
  const { lead } = mirror;
  if (lead !== undefined && proposal.mine.has(lead)) throw refusal(mirror, ballot);
  if (lead !== undefined) {
    if (!ballot.present.has(lead)) throw refusal(mirror, ballot);
    return true;
  }
  if (proposal.mine.size === 0 || round >= ROUNDS) return true;
  proposal.digest ??= await digest256(proposal.source);
  const ours = proposal.digest;
  const { versions } = await look(mirror, proposal);
  const equal = versions.get(ours) ?? [];
  // Somebody finished ours: settling will say so.
  if (mirror.isDurable(equal)) return true;
  return [...versions.keys()].some((digest) => digest < ours);
}

/** Removes what this call created and nobody was told of. Where that fails, a twin stays, which `sync` tells. */
async function takeBack(mirror: Mirror, { key, mine }: Proposal): Promise<void> {
  const sight = [...mine];
  if (mirror.isDurable(sight)) return;
  await Promise.all(
    sight.map((member) => member.use((store) => store.delete([key])).catch((error: unknown) => member.note(error))),
  );
}

async function infoOf(
  mirror: Mirror,
  key: string,
  holders: readonly Member[],
  signal: AbortSignal | undefined,
): Promise<ObjectInfo> {
  for (const member of byNearness(holders)) {
    const info = await member.use((store) => store.stat(key, { signal }));
    if (info !== undefined) return { key, sizeBytes: info.sizeBytes, modifiedAt: info.modifiedAt };
  }
  throw tooFew(`${key} is gone from ${namesOf(mirror.asked).join(', ')}`, new Map());
}

async function digest256(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of source.open()) hash.update(chunk);
  return hash.digest('hex');
}

function except(mirror: Mirror, holders: ReadonlySet<Member>): Member[] {
  return mirror.members.filter((member) => !holders.has(member));
}

/** Why an object could not be stored: the one reason that all stores gave, or that too few took it. */
export function refusal(mirror: Mirror, { created, faults }: Ballot): KeyframeError {
  const codes = new Set([...faults.values()].map((error) => faultOf(error).code));
  const [first] = faults.values();
  if (first !== undefined && codes.size === 1 && created.size === 0)
    // oxlint-disable-next-line typescript/only-throw-error -- a fault of the source passes through as it is
    throw first;
  const { quorum, lead } = mirror.rule;
  const needed =
    lead === undefined ? `${quorum} are needed` : `${lead}${quorum > 1 ? ` and ${quorum} in all` : ''} is needed`;
  const took = created.size === 0 ? 'no store' : `only ${namesOf(created.keys()).join(', ')}`;
  return tooFew(`${took} of ${namesOf(mirror.members).join(', ')} took the object, ${needed}`, faults);
}

function undecided(mirror: Mirror, key: string, { versions, faults }: Sight): KeyframeError {
  const stores = [...versions.values()].flat();
  if (versions.size > 1) mirror.onEvent({ kind: 'conflict', key, stores: namesOf(stores) });
  if (faults.size > 0) return tooFew(`which object ${key} counts cannot be told`, faults);
  return new KeyframeError('CONFLICT', `the stores ${namesOf(stores).join(', ')} hold different objects ${key}`, {
    hint: 'Run `keyframe repository status`, find out which writer is the right one, and move the other object away.',
    details: { key, stores: namesOf(stores).join(', ') },
  });
}
