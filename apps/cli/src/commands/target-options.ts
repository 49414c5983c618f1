/** The options by which `plan` and `restore` are told where to go. @packageDocumentation */
import type { TargetOptions } from '@keyframe/engine';
import type { OptionValues } from '../command-line/spec.ts';

/** The options by which `plan` and `restore` name a moment. */
export const TARGET_OPTIONS = {
  time: {
    kind: 'string',
    flag: '--time',
    value: 'time',
    description: 'up to that time, with its offset: "2026-11-24 14:36:58.124+01"',
  },
  timeZone: {
    kind: 'string',
    flag: '--time-zone',
    value: 'zone',
    description: 'zone in which --time is meant when it has no offset: Europe/Berlin, UTC',
  },
  xid: { kind: 'string', flag: '--xid', value: 'xid', description: 'up to and with the commit of that transaction' },
  beforeXid: {
    kind: 'string',
    flag: '--before-xid',
    value: 'xid',
    description: 'up to just before the commit of that transaction',
  },
  lsn: { kind: 'string', flag: '--lsn', value: 'lsn', description: 'up to and with the WAL record at that LSN' },
  name: { kind: 'string', flag: '--name', value: 'name', description: 'up to that restore point' },
  immediate: { kind: 'boolean', flag: '--immediate', description: 'only until the backup is consistent' },
  latest: { kind: 'boolean', flag: '--latest', description: 'to the end of the archived WAL' },
  timeline: {
    kind: 'integer',
    flag: '--timeline',
    value: 'id',
    minimum: 1,
    description: 'along that timeline; default the newest',
  },
  exclusive: { kind: 'boolean', flag: '--exclusive', description: 'stop just before --time, --xid or --lsn' },
  backup: {
    kind: 'string',
    flag: '--backup',
    value: 'label',
    description: 'start from that backup; default the best one',
  },
  withoutStore: {
    kind: 'repeatable',
    flag: '--without-store',
    value: 'name',
    description: 'go on without that store of the repository; says what may lie there alone. Repeatable',
  },
} as const;

/** Splits what the target parser needs from the rest. */
export function targetInput(options: OptionValues<typeof TARGET_OPTIONS>): TargetOptions {
  const { time, timeZone, xid, beforeXid, lsn, name, immediate, latest, timeline, exclusive } = options;
  return { time, timeZone, xid, beforeXid, lsn, name, immediate, latest, timeline, exclusive };
}
