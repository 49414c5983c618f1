/**
 * Reads small objects that decide something: who holds a lease, which system an epoch is of, whether a backup counts. A writer
 * that was refused may have left its own on one store; what counts is what a write set holds, not what is nearest.
 * @packageDocumentation
 */
import { hash } from 'node:crypto';
import { hasCode } from '@keyframe/contracts';
import { readSmall } from '../objects/read-range.ts';
import { byNearness, type Member } from './member.ts';
import type { Mirror } from './mirror.ts';
import { within } from './waiting.ts';

/** A store that has not answered after this long is not waited for when another has, milliseconds. */
const GRACE_MS = 1_000;

const DECISION = /^(?:leases|keys|signers)\/|\.json$|\/intent$|\/(?:holds|tombstones|damage|chain)\//u;

/** Whether writers could have met at that key. */
export function isDecision(key: string): boolean {
  return DECISION.test(key) && key !== 'keyframe.json';
}

/** What the stores say. */
export interface Decided {
  /** `undefined`: nobody that answered has it. */
  readonly bytes: Buffer | undefined;
  readonly absent: readonly Member[];
  /** Those that have something else than what counts: damaged, or refused and left there. */
  readonly differing: readonly Member[];
  readonly faults: ReadonlyMap<Member, unknown>;
}

/** As few stores as a write set has, the nearest; all of them where these do not agree. */
export async function readDecided(mirror: Mirror, key: string, signal: AbortSignal | undefined): Promise<Decided> {
  const versions = new Map<string, { readonly bytes: Buffer; readonly holders: Member[] }>();
  const absent: Member[] = [];
  const faults = new Map<Member, unknown>();
  const ask = async (member: Member): Promise<void> => {
    try {
      const bytes = await member.use((store) => readSmall(store, key, signal));
      const version = versions.get(hash('sha256', bytes)) ?? { bytes, holders: [] };
      version.holders.push(member);
      versions.set(hash('sha256', bytes), version);
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) absent.push(member);
      else faults.set(member, error);
    }
  };
  const durable = (): Buffer | undefined =>
    [...versions.values()].find(({ holders }) => mirror.isDurable(holders))?.bytes;
  const candidates = byNearness(mirror.readable(key));
  const first = candidates.filter((member, index) => index < mirror.rule.quorum || member === mirror.lead);
  const asking = Promise.all(first.map(ask));
  await within(GRACE_MS, asking);
  signal?.throwIfAborted();
  if (durable() === undefined) {
    const rest = Promise.all([asking, ...candidates.filter((member) => !first.includes(member)).map(ask)]);
    while (!(await within(GRACE_MS, rest))) {
      signal?.throwIfAborted();
      if (durable() !== undefined || versions.size > 0) break;
      const silent = candidates.filter((member) => !absent.includes(member));
      if (!mirror.couldHide(silent)) break;
    }
    signal?.throwIfAborted();
  }
  const settled = durable();
  const bytes = settled ?? undurable(mirror, [...versions.values()]);
  const others = settled === undefined ? [] : [...versions.values()].filter((version) => version.bytes !== settled);
  const differing = others.flatMap(({ holders }) => holders);
  return { bytes, absent: [...absent], differing, faults: new Map(faults) };
}

/** Where no version has a write set: the lead's, else that of the first store, as writers choose too. */
function undurable(
  { asked, lead }: Mirror,
  versions: readonly { readonly bytes: Buffer; readonly holders: readonly Member[] }[],
): Buffer | undefined {
  const order = lead === undefined ? asked : [lead, ...asked];
  for (const member of order) {
    const version = versions.find(({ holders }) => holders.includes(member));
    if (version !== undefined) return version.bytes;
  }
  return undefined;
}
