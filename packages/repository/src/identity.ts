import { randomUUID } from 'node:crypto';
import { hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { openSealedJson, sealJson } from './format/sealed-json.ts';
import { IDENTITY_KEY } from './keys.ts';
import { damaged } from './objects/damage.ts';
import { createOnly } from './objects/put-once.ts';
import { readSealed } from './objects/with-copies.ts';

/** `keyframe.json`: says that this is a repository, which one, and in which format. Never changed once written. */
export interface RepositoryIdentity {
  readonly format: number;
  /** A UUID, made at `init`. */
  readonly id: string;
  readonly createdAt: string;
  /** Plain bytes a frame of a pack holds at most. */
  readonly frameBytes: number;
  /** Plain bytes a frame of a WAL object holds at most. */
  readonly walFrameBytes: number;
  /** Encrypted from its beginning: without keys it is damaged, not plain. */
  readonly encrypted: boolean;
}

const FRAME_BYTES = 256 << 10;
const WAL_FRAME_BYTES = 1 << 20;

/** @throws {KeyframeError} REPOSITORY_MISSING, REPOSITORY_FORMAT, CORRUPT */
export async function readIdentity(store: Store, signal: AbortSignal | undefined): Promise<RepositoryIdentity> {
  try {
    const fields = openSealedJson(await readSealed(store, IDENTITY_KEY, signal), IDENTITY_KEY);
    const parameters = fields.object('parameters');
    return {
      format: fields.integer('format'),
      id: fields.text('id'),
      createdAt: fields.text('createdAt'),
      frameBytes: parameters.integer('frameBytes'),
      walFrameBytes: parameters.integer('walFrameBytes'),
      encrypted: fields.has('encrypted') && fields.boolean('encrypted'),
    };
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
    throw new KeyframeError('REPOSITORY_MISSING', `there is no repository: ${placeIn(error)} does not exist`, {
      cause: error,
      hint: 'Check that the store is mounted and the config file names the right one; only if there never was a repository run `keyframe repository create`.',
    });
  }
}

/** Where the store looked, when it told: at 3 am the path says more than the key. */
function placeIn(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause)
    if ('path' in at && typeof at.path === 'string') return at.path;
  return IDENTITY_KEY;
}

/** The bytes of `keyframe.json`. */
export function identityJson({
  id,
  createdAt,
  encrypted,
}: Pick<RepositoryIdentity, 'id' | 'createdAt' | 'encrypted'>): Buffer {
  const parameters = { frameBytes: FRAME_BYTES, walFrameBytes: WAL_FRAME_BYTES };
  return sealJson({ id, createdAt, parameters, ...(encrypted && { encrypted }) });
}

/** Writes `keyframe.json` unless it is there. */
export async function createIdentity(
  store: Store,
  { now, encrypted }: { readonly now: Date; readonly encrypted: boolean },
  signal: AbortSignal | undefined,
): Promise<RepositoryIdentity> {
  try {
    return await readIdentity(store, signal);
  } catch (error) {
    if (!hasCode(error, 'REPOSITORY_MISSING')) throw error;
  }
  for await (const { key } of store.list('clusters/', { signal }))
    // A new id would make old objects strangers.
    throw damaged(IDENTITY_KEY, `it is missing, yet ${key} exists: \`keyframe repository rebuild\` can bring it back`);
  const content = identityJson({ id: randomUUID(), createdAt: now.toISOString(), encrypted });
  await createOnly(store, IDENTITY_KEY, bytesOf(content), signal); // another init may have been first: then it counts
  return readIdentity(store, signal);
}
