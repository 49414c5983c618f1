/** What `keyframe wal receive` rests on, where a slot of it is there. @packageDocumentation */
import type { ServerFacts, SlotFact } from '@keyframe/postgres';
import { fail, type Finding, ok, warn } from './finding.ts';

const OURS = 'keyframe';
const NO_CAP = '-1';

/** Nothing where no such slot was ever made. */
export function checkReceiver({ slots = [], settings }: ServerFacts): Finding[] {
  const ours = slots.filter(({ name, physical }) => physical && name.startsWith(OURS));
  const cap = settings.get('max_slot_wal_keep_size')?.value;
  return ours.map((slot) => judge(slot, cap));
}

function judge({ name, active, walStatus }: SlotFact, cap: string | undefined): Finding {
  const id = 'receiver';
  const what = `replication slot ${name} is ${active ? 'in use' : 'not in use'}`;
  if (walStatus === 'lost' || walStatus === 'unreserved')
    return fail(
      id,
      `replication slot ${name} is ${walStatus}`,
      'the server gives up the WAL that was not received yet',
      'Start `keyframe wal receive`, look for gaps with `keyframe wal verify`, and raise max_slot_wal_keep_size.',
    );
  if (!active)
    return warn(
      id,
      what,
      'it keeps WAL in pg_wal until somebody receives it',
      `Start \`keyframe wal receive\`, or give the slot up: \`select pg_drop_replication_slot('${name}')\`.`,
    );
  if (cap === NO_CAP)
    return warn(
      id,
      what,
      'nothing limits what it keeps: a receiver that stops fills the disk of the server',
      "Set a cap: `alter system set max_slot_wal_keep_size = '50GB'`, then `select pg_reload_conf()`.",
    );
  return ok(id, what);
}
