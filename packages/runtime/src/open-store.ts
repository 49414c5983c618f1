/** The store of a repository: one, or several as one. @packageDocumentation */
import path from 'node:path';
import { KeyframeError, type Log, type Store } from '@keyframe/contracts';
import { classed, immutable, lockOf, retrying } from '@keyframe/engine/store';
import {
  type MirroredStore,
  mirroredStore,
  type MirrorEvent,
  type NamedStore,
  openJournal,
  type Repository,
  walIdentity,
} from '@keyframe/repository';
import type { RepositoryConfiguration } from './configuration.ts';
import { talkativeRetry } from './store-talk.ts';

/** Which of the stores are used, and how sure an absence must be. */
export interface StoreChoice {
  /** Names of stores to go on without. They are not asked; a write still counts only with enough of all. */
  readonly withoutStores?: readonly string[] | undefined;
  /** Nothing is absent and no list is whole unless every store that is not left out has said so. Recoveries set it. Default false. */
  readonly everyStore?: boolean | undefined;
}

interface Parts {
  readonly configured: RepositoryConfiguration;
  readonly rawStores: readonly NamedStore[];
  readonly log: Log;
  readonly now: () => Date;
  readonly stateDirectory: string;
  /** What a store holds when it is looked at alone. */
  readonly repositoryOver: (store: Store) => Repository;
}

/** With retries around each store. @throws {KeyframeError} INVALID_OPTION for a store that the file does not name */
export function openStore(
  parts: Parts,
  choice: StoreChoice,
): { readonly store: Store; readonly mirror?: MirroredStore } {
  const { configured, rawStores, log, now, stateDirectory, repositoryOver } = parts;
  const without = choice.withoutStores ?? [];
  assertKnown(without, configured);
  const { immutableMs } = configured;
  const someLock = rawStores.some(({ store }) => store.retention !== undefined);
  const stores = rawStores.map(({ name, store: raw }) => {
    const tried = retrying(raw, talkativeRetry(name, log));
    const classes = configured.stores.find((each) => each.name === name)?.classes;
    const store = classes === undefined ? tried : classed(tried, classes);
    // A mirror may be of a kind that cannot lock: `doctor` tells which. Where none can, the wish is refused.
    const locks = immutableMs !== undefined && (raw.retention !== undefined || !someLock);
    return { name, store: locks ? immutable(store, { lockMs: lockOf(immutableMs), now }) : store };
  });
  const [only] = stores;
  if (only !== undefined && stores.length === 1) return { store: only.store };
  const mirror = mirroredStore({
    stores,
    rule: configured.writeRule,
    journal: openJournal(path.join(stateDirectory, 'mirrors', configured.name)),
    without,
    strict: choice.everyStore,
    check: (store, key, how) => repositoryOver(store).check(key, how),
    identify: (store, key, how) => walIdentity(repositoryOver(store), key, how ?? {}),
    onEvent: teller(log),
  });
  return { store: mirror, mirror };
}

function assertKnown(without: readonly string[], { name, stores }: RepositoryConfiguration): void {
  const names = stores.map((store) => store.name);
  const unknown = without.find((each) => !names.includes(each));
  if (unknown !== undefined)
    throw new KeyframeError('INVALID_OPTION', `the repository ${name} has no store ${JSON.stringify(unknown)}`, {
      hint: `Use --without-store with one of: ${names.join(', ')}.`,
    });
  if (names.some((each) => !without.includes(each))) return;
  throw new KeyframeError('INVALID_OPTION', `no store of the repository ${name} is left`, {
    hint: 'Leave one of the --without-store out.',
  });
}

const STATUS = '`keyframe repository status` shows how far; `keyframe repository sync` brings it up';

/** A store that is slow for a moment is no news; one that fails is, and one that is behind as the work ends. */
function teller(log: Log): (event: MirrorEvent) => void {
  const warned = new Set<string>();
  return (event) => {
    if (event.kind !== 'behind' && event.kind !== 'left-behind') {
      tell(event, log);
      return;
    }
    const { kind, store } = event;
    const fault = kind === 'behind' ? event.fault : undefined;
    if (kind === 'behind' && fault === undefined) {
      log.info(`the store ${store} is slow: it is brought up from the others`);
      return;
    }
    if (warned.has(store)) return;
    warned.add(store);
    log.warn(
      fault === undefined ? `the store ${store} is still behind` : `the store ${store} falls behind: ${fault.message}`,
    );
    log.info(STATUS);
  };
}

function tell(event: Exclude<MirrorEvent, { readonly kind: 'behind' | 'left-behind' }>, log: Log): void {
  switch (event.kind) {
    case 'conflict':
      log.warn(
        `${event.key.includes('/wal/') ? 'wal.conflict' : 'conflict'}: the stores ${event.stores.join(', ')} hold different objects ${event.key}; none was changed`,
      );
      break;
    case 'damage':
      log.warn(`the store ${event.store} gave a damaged copy of ${event.key}; another one was read`);
      break;
    case 'repaired':
      log.info(`the damaged copy of ${event.key} on ${event.store} was replaced by a proven one`);
      break;
    case 'journal':
      log.warn(`${event.fault.message}; \`keyframe repository sync\` finds by listing what is behind`);
      break;
  }
}
