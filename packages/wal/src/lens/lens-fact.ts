import { type Lsn, lsn } from '@keyframe/contracts';
import type { WalFact } from '../facts.ts';
import type { PostgresMajor } from '../page-header.ts';
import { isTelling, readFact, type RecordBody } from '../record.ts';
import type { LensFact } from './segment-index.ts';
import type { NumberPlace } from './walker.ts';

/** Instead of a fact: the record is telling but cannot be read. */
export const UNREADABLE = 'unreadable';

const at = (position: number): Lsn => lsn(BigInt(position));

/** What a record of XLOG, of storage, of a database or of a relation map tells; `undefined` for nothing. */
export function readLensFact(
  record: RecordBody,
  { start, end, previousEnd }: NumberPlace,
  major: PostgresMajor,
): LensFact | typeof UNREADABLE | undefined {
  if (!isTelling(record.resourceManager, record.info, true)) return undefined;
  const place = { lsn: at(start), endLsn: at(end), previousEndLsn: at(previousEnd) };
  const fact = readFact(record, place, major);
  if (fact === undefined) return UNREADABLE;
  return isLensFact(fact) ? fact : undefined;
}

function isLensFact(fact: WalFact): fact is LensFact {
  return fact.kind !== 'commit' && fact.kind !== 'abort' && fact.kind !== 'record' && fact.kind !== 'subtransaction';
}
