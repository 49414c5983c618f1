/** Each store of a repository that has several. @packageDocumentation */
import { isWriteSet } from '@keyframe/repository';
import type { Gathered, MirrorEvidence, StoreProbe } from './evidence.ts';
import { fail, type Finding, ok, warn } from './finding.ts';

/** Whether each store serves, and whether enough of them do. */
export function checkStores(mirrors: MirrorEvidence): Finding[] {
  const { stores, rule } = mirrors;
  const serving = stores.flatMap(({ name, probe }) => ('value' in probe ? [name] : []));
  const suffices = isWriteSet(rule, serving);
  return [...stores.map(({ name, probe }) => checkOne(`store ${name}`, probe, suffices)), checkRule(mirrors, suffices)];
}

function checkOne(id: string, probe: Gathered<StoreProbe>, suffices: boolean): Finding {
  if ('value' in probe) {
    const what = `an object was written, read back and removed in ${Math.round(probe.value.milliseconds)} ms`;
    if (probe.value.createOnly) return ok(id, what);
    return warn(
      id,
      `${what}, but a second writer could replace it`,
      'create-only writing is then not relied on for any store of this repository',
      'Use a store that creates only.',
    );
  }
  const fault = 'fault' in probe ? probe.fault : { message: probe.absent, hint: undefined };
  const fix = fault.hint ?? 'Correct the store in the config file: `keyframe config validate`.';
  const what = `it fails: ${fault.message}`;
  return suffices
    ? warn(id, what, 'it falls behind; `keyframe repository sync` brings it up afterwards', fix)
    : fail(id, what, 'too few stores are left to store anything', fix);
}

function checkRule({ stores, rule }: MirrorEvidence, suffices: boolean): Finding {
  const id = 'quorum';
  const { quorum, lead } = rule;
  const needed = lead === undefined ? `${quorum} of ${stores.length} stores` : `the lead ${lead}`;
  if (!suffices)
    return fail(
      id,
      `a write needs ${needed}, and they cannot be had`,
      'PostgreSQL keeps its WAL until they are back: pg_wal grows',
      'Bring the stores back; `keyframe repository status` tells what each of them says.',
    );
  const names = stores.map(({ name }) => name);
  const vital = names.filter(
    (name) =>
      !isWriteSet(
        rule,
        names.filter((other) => other !== name),
      ),
  );
  if (lead === undefined && vital.length > 0)
    return warn(
      id,
      `a write needs ${needed}: without ${vital.join(' or ')} nothing can be stored`,
      'an outage of one store stops archiving, and pg_wal grows',
      'Add a store, or name a `lead` in the config file.',
    );
  const more = lead !== undefined && quorum > 1 ? ` and ${quorum} in all` : '';
  return ok(id, `a write counts once ${needed}${more} ${lead === undefined ? 'have' : 'has'} it`);
}
