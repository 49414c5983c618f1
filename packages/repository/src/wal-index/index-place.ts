import { formatLsn, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import type { EpochContext } from '../epoch-context.ts';
import type { Fields } from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';

/** Consecutive segments of one timeline's files. */
export interface IndexPlace {
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
}

const KEY = /^index\/([0-9A-F]{8})\/([0-9A-F]{16})-([0-9A-F]{16})$/u;

const hex = (value: bigint | number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');

/** Key of an object of the index below the prefix of its epoch. */
export function indexKey({ timeline, startLsn, endLsn }: IndexPlace): string {
  return `index/${hex(timeline, 8)}/${hex(startLsn, 16)}-${hex(endLsn, 16)}`;
}

/** `undefined` for a key that is none of ours. */
export function parseIndexKey(key: string): IndexPlace | undefined {
  const [, timeline, start, end] = KEY.exec(key) ?? [];
  if (timeline === undefined || start === undefined || end === undefined) return undefined;
  const place = {
    timeline: Number.parseInt(timeline, 16),
    startLsn: lsn(BigInt(`0x${start}`)),
    endLsn: lsn(BigInt(`0x${end}`)),
  };
  return place.startLsn < place.endLsn ? place : undefined;
}

/** Proves that the header of an object says what its key does. @throws {KeyframeError} CORRUPT */
export function assertIndexed(
  { repositoryId, cluster, epoch, prefix }: Pick<EpochContext, 'repositoryId' | 'cluster' | 'epoch' | 'prefix'>,
  fields: Fields,
  key: string,
): void {
  const place = parseIndexKey(key.slice(prefix.length));
  const said = ['repository', 'cluster', 'startLsn', 'endLsn'].map((name) => fields.text(name));
  const numbers = ['epoch', 'timeline'].map((name) => fields.integer(name));
  const lsns = [place?.startLsn, place?.endLsn].map((each) => each && formatLsn(each));
  const expected = [repositoryId, cluster, ...lsns, epoch.number, place?.timeline];
  if ([...said, ...numbers].join(' ') === expected.join(' ')) return;
  throw damaged(
    key,
    `it belongs elsewhere: to ${said[2]} to ${said[3]} of timeline ${numbers[1]} in cluster ${said[1]}, epoch ${numbers[0]}`,
  );
}
