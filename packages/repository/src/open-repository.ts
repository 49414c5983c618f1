import { type Abortable, KeyframeError } from '@keyframe/contracts';
import { KeyAdministration } from './encryption/key-administration.ts';
import { keysLost } from './encryption/faults.ts';
import { Keyring } from './encryption/keyring.ts';
import { publicContentKey } from './format/content-hash.ts';
import { HeldLease } from './held-lease.ts';
import { createIdentity, readIdentity, type RepositoryIdentity } from './identity.ts';
import { assertLeaseName } from './keys.ts';
import { checkObject } from './objects/check-object.ts';
import { Codecs } from './objects/codecs.ts';
import { createRoots } from './roots/stored-roots.ts';
import { Signatures } from './signing/signatures.ts';
import type { Repository, RepositoryContext } from './repository.ts';
import { type ClusterContext, StoredCluster } from './stored-cluster.ts';
import { DEFAULT_TUNING } from './tuning.ts';

const EPOCH_KEY = /^clusters\/([^/]+)\/epochs\/\d+\.json$/u;

function anotherRepository(expected: string, found: string): KeyframeError {
  return new KeyframeError('CONFLICT', `the store now holds repository ${found}, it held ${expected}`, {
    hint: 'Check what is mounted at `repositories.<name>.stores`, then run the command again.',
    details: { expected, found },
  });
}

/** Opens a repository. No I/O: the first operation does it. */
export function openRepository(context: RepositoryContext): Repository {
  const { store, compressor, now } = context;
  const codecs = new Codecs([...context.compressors, compressor]);
  const tuning = { ...DEFAULT_TUNING, ...context.tuning };
  let known: RepositoryIdentity | undefined;
  let signatures: Signatures | undefined;

  const identity = async ({ signal }: Abortable = {}): Promise<RepositoryIdentity> => {
    known ??= await readIdentity(store, signal); // it never changes
    return known;
  };
  const keyring = new Keyring({ store, identity: (options) => identity(options), encryption: context.encryption });
  const { encryption } = context;
  const keys = new KeyAdministration({ store, identity: (options) => identity(options), keyring, encryption, now });
  const signers = async (options: Abortable): Promise<Signatures> => {
    signatures ??= new Signatures(store, (await identity(options)).id, now, context.signing);
    return signatures;
  };
  const open = async (options: Abortable): Promise<ClusterContext> => {
    const { id, frameBytes, walFrameBytes } = await identity(options);
    const contentKey = publicContentKey(id);
    const common = { signatures: await signers(options), keyring, frameBytes, walFrameBytes };
    return { store, compressor, codecs, now, tuning, repositoryId: id, contentKey, ...common };
  };

  return {
    identity,
    confirm: async ({ signal } = {}) => {
      const found = await readIdentity(store, signal);
      const expected = known?.id ?? found.id;
      if (found.id !== expected) throw anotherRepository(expected, found.id);
    },
    init: async ({ signal } = {}) => {
      known = await createIdentity(store, { now: now(), encrypted: encryption !== undefined }, signal);
      await beginKeys(context, keyring, keys, known, signal);
      return known;
    },
    clusters: async (options = {}) => {
      await identity(options);
      return clusterNames(store, options);
    },
    cluster: (name) => new StoredCluster(name, open),
    keys,
    roots: createRoots(store, open),
    // Without keys: it serves copying, which has to prove that bytes are the stored ones, on hosts that cannot read.
    check: async (key, { signal } = {}) => {
      await checkObject(store, codecs, key, signal);
    },
    signers: {
      list: async (options = {}) => (await signers(options)).list(options),
      announce: async (options = {}) => (await signers(options)).announce(options),
      introduce: async (publicKey, name, options = {}) => (await signers(options)).introduce(publicKey, name, options),
    },
    lease: async (name, holder, options) => {
      assertLeaseName(name);
      await identity(options);
      return HeldLease.acquire({ store, now }, name, holder, options);
    },
  };
}

async function clusterNames(store: RepositoryContext['store'], options: Abortable): Promise<string[]> {
  const names = new Set<string>();
  for await (const { key } of store.list('clusters/', options)) {
    const name = EPOCH_KEY.exec(key)?.[1];
    if (name !== undefined) names.add(name);
  }
  return [...names].toSorted();
}

/** A repository that says it is encrypted has keys before it has anything else. */
async function beginKeys(
  { store, encryption }: RepositoryContext,
  keyring: Keyring,
  keys: KeyAdministration,
  { encrypted }: RepositoryIdentity,
  signal: AbortSignal | undefined,
): Promise<void> {
  keyring.forget();
  if (!encrypted || (await keyring.inventory({ signal })).generations.length > 0) return;
  for await (const _ of store.list('clusters/', { signal })) throw keysLost();
  if (encryption === undefined) throw keysLost();
  await keys.begin({ signal });
}
