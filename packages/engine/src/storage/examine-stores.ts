/** What the stores of a repository do with its objects: locks, encryption at rest, rules of the bucket, places. @packageDocumentation */
import { randomUUID } from 'node:crypto';
import {
  type Abortable,
  type AtRest,
  hasCode,
  isKeyframeError,
  type LifecycleRule,
  type Store,
  type StoreLocation,
} from '@keyframe/contracts';
import { textOf } from '@keyframe/contracts/streams';
import { fail, type Finding, ok, skipped, warn } from '../doctor/finding.ts';

/** The stores of a repository, and what the config file asks of them. */
export interface StorageContext {
  readonly stores: readonly { readonly name: string; readonly store: Store }[];
  /** How long what a backup needs must stay locked, milliseconds; `undefined`: nothing is. */
  readonly immutableMs: number | undefined;
  readonly now: () => Date;
}

/** Objects whose encryption at rest is looked at, beside one that is written now. */
const SAMPLE = 20;
/** How long the object is locked that proves the lock. Long enough to try, short enough to be gone by the next run. */
const PROOF_MS = 60_000;
const PROBES = 'doctor/';

const TOPICS = [
  ['locks', examineLocks],
  ['at-rest', examineAtRest],
  ['rules', examineLifecycle],
] as const;

/** Looks at every store. Writes one small object each, and removes it where no lock keeps it. */
export async function examineStores(context: StorageContext, options: Abortable = {}): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, store } of context.stores)
    for (const [topic, examine] of TOPICS)
      findings.push(...(await attempted(`${topic} ${name}`, (id) => examine(id, store, context, options))));
  return [...findings, ...examinePlaces(context.stores)];
}

async function attempted(id: string, examine: (id: string) => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await examine(id);
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    return [skipped(id, `could not be told: ${error.message}`, error.hint ?? 'the store does not say')];
  }
}

/** Whether what is written to be kept really cannot be removed. */
async function examineLocks(
  id: string,
  store: Store,
  { immutableMs, now }: StorageContext,
  options: Abortable,
): Promise<Finding[]> {
  if (immutableMs === undefined) return [];
  const { retention, versions } = store;
  const why = 'whoever has this host’s credentials can remove every backup from it';
  if (retention === undefined || versions === undefined)
    return [
      fail(id, 'this kind of store cannot lock objects', why, 'Name a store that can, or leave `immutable` out.'),
    ];
  if (!(await retention.enabled(options)) || !(await versions.enabled(options)))
    return [
      fail(
        id,
        'objects of this bucket cannot be locked',
        why,
        'Make the bucket anew with versions and object lock, and `keyframe copy` the repository there.',
      ),
    ];
  await removeOldProbes(store, options);
  const key = `${PROBES}lock-${randomUUID()}`;
  await store.put(key, textOf('written by keyframe doctor: locked for a minute\n'), {
    ...options,
    retainUntil: new Date(now().getTime() + PROOF_MS),
  });
  const removed: string[] = [];
  for await (const { version } of versions.list(key, options)) {
    const refused = await versions.delete([{ key, version }], options).then(
      () => false,
      (error: unknown) => {
        if (hasCode(error, 'ACCESS_DENIED')) return true;
        throw error;
      },
    );
    if (!refused) removed.push(version);
  }
  if (removed.length > 0)
    return [
      fail(
        id,
        'an object that was locked could be removed',
        why,
        'Use compliance mode, and a role without the right to bypass locks.',
      ),
    ];
  return [ok(id, 'an object that was locked could not be removed')];
}

/** What earlier runs locked, as far as the locks have ended. */
async function removeOldProbes({ versions }: Store, options: Abortable): Promise<void> {
  const old: { key: string; version: string }[] = [];
  for await (const { key, version } of versions?.list(PROBES, options) ?? []) old.push({ key, version });
  if (old.length === 0) return;
  await versions?.delete(old, options).catch((error: unknown) => {
    if (!hasCode(error, 'ACCESS_DENIED')) throw error;
  });
}

const described = ({ method, keyId }: AtRest): string => (keyId === undefined ? method : `${method} with ${keyId}`);

/** Whether objects are encrypted by the store as the config file says: one that is written now, and some of those that lie there. */
async function examineAtRest(id: string, store: Store, _: StorageContext, options: Abortable): Promise<Finding[]> {
  const { atRest } = store;
  if (atRest === undefined) return [];
  const probe = `${PROBES}at-rest-${randomUUID()}`;
  await store.put(probe, textOf('written by keyframe doctor, may be removed\n'), options);
  const wrong: string[] = [];
  let [looked, found]: [number, AtRest | undefined] = [0, undefined];
  try {
    for (const key of [probe, ...(await sampleOf(store, options))]) {
      const is = await atRest.of(key, options);
      looked += 1;
      found ??= is;
      if (atRest.wanted !== undefined && (is === undefined || !atRest.matches(is)))
        wrong.push(key === probe ? 'a new object' : key);
    }
  } finally {
    await store.delete([probe], options);
  }
  if (atRest.wanted === undefined)
    return found === undefined
      ? [skipped(id, 'the store does not tell how it encrypts', 'the config file asks for nothing, too')]
      : [ok(id, `the store encrypts by ${described(found)}`)];
  const wanted = described(atRest.wanted);
  if (wrong.length === 0) return [ok(id, `${looked} objects looked at are encrypted by ${wanted}`)];
  return [
    fail(
      id,
      `${wrong.length} of ${looked} objects are not encrypted by ${wanted}: ${wrong.slice(0, 3).join(', ')}`,
      wrong[0] === 'a new object'
        ? 'the store ignores what the config file asks for'
        : 'they were written before, or by others',
      wrong[0] === 'a new object'
        ? 'Check that the key exists and that this role may use it.'
        : 'Copy them anew with `keyframe copy` to a store that encrypts, or let them expire.',
    ),
  ];
}

/** Spread over what lies there: reservoir sampling, so that one listing is enough and nothing is kept of it. */
async function sampleOf(store: Store, options: Abortable): Promise<string[]> {
  const sample: string[] = [];
  let seen = 0;
  for await (const { key } of store.list('clusters/', options)) {
    seen += 1;
    const place = sample.length < SAMPLE ? sample.length : Math.floor(Math.random() * seen);
    if (place < SAMPLE) sample[place] = key;
  }
  return sample;
}

/** Rules by which the bucket itself removes or hides what recoveries need. */
async function examineLifecycle(id: string, store: Store, _: StorageContext, options: Abortable): Promise<Finding[]> {
  const { lifecycle, tiers } = store;
  if (lifecycle === undefined) return [];
  const { rules, foreign } = await lifecycle.read(options);
  const archives = new Set(tiers?.classes.filter(({ archived }) => archived).map((each) => each.name));
  const findings = rules.flatMap((rule) => judgeRule(id, rule, archives));
  if (foreign.length > 0)
    findings.push(
      warn(
        id,
        `rules of the bucket that Keyframe does not understand: ${foreign.join('; ')}`,
        'they may remove what backups need',
        'Look at them; packs, manifests and WAL must never expire by age.',
      ),
    );
  return findings.length > 0 ? findings : [ok(id, 'no rule of the bucket removes what backups need')];
}

function judgeRule(id: string, { id: rule, tag, action }: LifecycleRule, archives: ReadonlySet<string>): Finding[] {
  if (action.kind === 'expire')
    return [
      fail(
        id,
        `the rule ${rule} of the bucket removes objects after ${action.afterDays} days`,
        'the newest backup may need packs of that age: it could not be restored',
        `Remove the rule ${rule}; \`keyframe expire\` knows what may go.`,
      ),
    ];
  if (action.kind === 'transition' && tag === undefined && archives.has(action.storageClass))
    return [
      warn(
        id,
        `the rule ${rule} moves everything to ${action.storageClass} after ${action.afterDays} days`,
        'the newest backup may need packs of that age: a restore waits hours for them',
        'Let `keyframe lifecycle apply` make the rule: it moves only what no young backup needs.',
      ),
    ];
  return [];
}

/** Copies that one event could take. */
function examinePlaces(stores: StorageContext['stores']): Finding[] {
  const places = stores.flatMap(({ store }) => store.location ?? []);
  if (stores.length < 2 || places.length < stores.length) return [];
  const same = (part: keyof StoreLocation): boolean => {
    const [first] = places;
    return (
      first?.[part] !== undefined &&
      places.every((each) => each.provider === first.provider && each[part] === first[part])
    );
  };
  const shared = (['account', 'region', 'container'] as const).filter(same);
  if (shared.length === 0) return [ok('places', 'the copies do not lie in one place')];
  const [first] = places;
  return [
    warn(
      'places',
      `all copies share the ${shared.map((part) => `${part} ${first?.[part]}`).join(' and the ')} of ${first?.provider}`,
      'one lost account, one outage of a region takes all of them',
      'Add a store in another region, under another account or with another provider.',
    ),
  ];
}
