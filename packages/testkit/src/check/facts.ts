/** What a store can do, and what Keyframe makes of it. @packageDocumentation */
import type { Store } from '@keyframe/contracts';
import type { Measurements } from './measure.ts';

/** One ability. */
export interface StoreFact {
  readonly id: string;
  /** What it is about, in three words. */
  readonly title: string;
  /** `weak`: it can not, or not as it says, and Keyframe does with less. `wrong`: it says that it can, and it cannot. */
  readonly verdict: 'yes' | 'no' | 'weak' | 'wrong';
  /** What Keyframe does about it. */
  readonly means: string;
}

/** Every ability, the ones that a repository rests on first. */
export async function factsOf(store: Store, measured: Measurements | undefined): Promise<readonly StoreFact[]> {
  return [...foundations(store, measured), ...(await extras(store))];
}

function foundations({ capabilities }: Store, measured: Measurements | undefined): StoreFact[] {
  const { conditionalPut, conditionalReplace, rangeRead, strongConsistency, maxObjectBytes } = capabilities;
  const oneWinner = measured?.winners === 1;
  const steady =
    measured === undefined || (measured.listing.written === measured.listing.of && measured.listing.stale === 0);
  const late = 'it looks again before it concludes that something is not there';
  return [
    fact('conditional-put', 'one creator wins', declared(conditionalPut, measured === undefined || oneWinner), {
      yes: 'two hosts that write the same name at once cannot overwrite each other',
      no: 'it looks before it writes and trusts its lease alone: let no two hosts archive one cluster here',
      wrong: 'do not use it: two writers of one name would both be told that they have written it',
    }),
    fact('conditional-replace', 'replace if unchanged', conditionalReplace === true ? 'yes' : 'no', {
      yes: 'leases may be renewed in place',
      no: 'leases are numbered objects, each created once; nothing is lost by that',
    }),
    fact('range-read', 'read a part', rangeRead === true ? 'yes' : 'weak', {
      yes: 'a restore reads just the frames it needs',
      weak: 'it reads objects from the start and throws away what it does not need: restores read more',
    }),
    fact('consistency', 'seen at once', declared(strongConsistency, steady), {
      yes: 'what was written is listed and read right away, so a missing object is a missing object',
      no: late,
      wrong: `a listing lagged behind although the adapter says that it cannot; ${late} only where the adapter admits it`,
    }),
    {
      id: 'object-size',
      title: 'large objects',
      verdict: maxObjectBytes !== undefined && maxObjectBytes < 64 << 20 ? 'weak' : 'yes',
      means:
        maxObjectBytes === undefined
          ? 'packs are as large as Keyframe likes'
          : `objects stay below ${Math.floor(maxObjectBytes / (1 << 20))} MiB`,
    },
  ];
}

function declared(says: boolean | undefined, holds: boolean): StoreFact['verdict'] {
  if (says === true) return holds ? 'yes' : 'wrong';
  return 'no';
}

type Told = Partial<Record<StoreFact['verdict'], string>>;

function fact(id: string, title: string, verdict: StoreFact['verdict'], told: Told): StoreFact {
  return { id, title, verdict, means: told[verdict] ?? '' };
}

async function extras(store: Store): Promise<StoreFact[]> {
  const { versions, retention, tiers, tags, lifecycle, replication, atRest, access } = store;
  const has = (facet: unknown): StoreFact['verdict'] => (facet === undefined ? 'no' : 'yes');
  const on = async (facet: { enabled(): Promise<boolean> } | undefined): Promise<StoreFact['verdict']> => {
    if (facet === undefined) return 'no';
    return (await facet.enabled()) ? 'yes' : 'weak';
  };
  return [
    fact('versions', 'old versions', await on(versions), {
      yes: 'an object that somebody hides or overwrites can be read by version',
      weak: 'the backend could, yet this bucket keeps none: switch versioning on to be safe from deletes',
      no: 'what is deleted is gone; `expire` waits a grace period before it deletes',
    }),
    fact('retention', 'object locks', await on(retention), {
      yes: '`immutable: 30d` locks what a recovery needs, against the writer itself, too',
      weak: 'the backend could, yet locks are off for this bucket: `immutable` is refused',
      no: '`immutable` is refused; keep a mirror under other credentials instead',
    }),
    fact('tiers', 'storage classes', has(tiers), {
      yes: 'each kind of object may have a class of its own; archived ones are thawed before a restore',
      no: 'all objects are kept alike',
    }),
    fact('tags', 'tags', has(tags), {
      yes: 'objects that no young backup needs are tagged, so that rules of the bucket can move those alone',
      no: 'nothing is moved to colder classes by rules of the bucket',
    }),
    fact('lifecycle', 'rules of the bucket', has(lifecycle), {
      yes: '`keyframe lifecycle plan` shows them; rules that would expire backups are a finding of `doctor`',
      no: '`expire` removes everything by itself',
    }),
    fact('replication', 'copies by the backend', has(replication), {
      yes: '`keyframe replication plan` shows what would be set up',
      no: 'name a second store: Keyframe writes to both',
    }),
    fact('at-rest', 'encryption at rest', has(atRest), {
      yes: 'what the options ask for is set on every object, and `doctor` looks at a sample',
      no: 'only what Keyframe encrypts itself is encrypted: name a key in `encrypt`',
    }),
    fact('access', 'rights by document', has(access), {
      yes: '`keyframe setup --store` prints the least rights of each role',
      no: 'rights are set by hand',
    }),
  ];
}
