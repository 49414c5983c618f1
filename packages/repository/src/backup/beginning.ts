import { formatLsn, parseLsn } from '@keyframe/contracts';
import type { Fields, Json } from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';
import type { BackupBeginning } from './record.ts';

/** The member `begun` of a pack's header. */
export function beginningJson(begun: BackupBeginning): { readonly [name: string]: Json } {
  return { ...begun, startLsn: formatLsn(begun.startLsn) };
}

/** @throws {KeyframeError} CORRUPT */
export function readBeginning(fields: Fields, key: string): BackupBeginning {
  const startLsn = fields.text('startLsn');
  try {
    return {
      startLsn: parseLsn(startLsn),
      timeline: fields.integer('timeline'),
      walSegmentSizeBytes: fields.integer('walSegmentSizeBytes'),
      dataChecksums: fields.boolean('dataChecksums'),
    };
  } catch (error) {
    throw damaged(key, 'it does not say where its backup began', { cause: error });
  }
}
