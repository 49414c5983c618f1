/** Who a repository is, as its objects say it. @packageDocumentation */
import { type Abortable, hasCode, type ObjectInfo, type Store } from '@keyframe/contracts';
import { readOutline } from '../checks/outline.ts';
import { identityJson } from '../identity.ts';
import type { ContainerKind } from '../format/container.ts';
import { openSealedJson } from '../format/sealed-json.ts';
import { IDENTITY_KEY } from '../keys.ts';
import { damaged } from '../objects/damage.ts';
import { readSealed, withCopies } from '../objects/with-copies.ts';
import type { LostRoot } from './lost-roots.ts';

/** Containers that are asked: enough to see that they are of one repository. */
const ASKED = 24;
const CONTAINER = /^clusters\/[^/]+\/\d+\/(?:backups\/[^/]+\/(pack|manifest)(?:-\d+)?$|(wal)\/)/u;

/** `undefined` when no object is there that could tell. @throws {KeyframeError} CORRUPT when they name several repositories */
export async function lostIdentity(
  store: Store,
  fault: LostRoot['fault'],
  options: Abortable,
): Promise<LostRoot | undefined> {
  const seen = await containersOf(store, options);
  if (seen.length === 0) return undefined;
  const base = { key: IDENTITY_KEY, fault };
  const told = new Map<string, number>();
  let encrypted = false;
  for (const { info, kind } of seen) {
    const fields = await headerOf(store, info, kind, options);
    if (fields === undefined) continue;
    const id = fields.text('repository');
    told.set(id, (told.get(id) ?? 0) + 1);
    encrypted ||= fields.has('encryption');
  }
  const [first, ...others] = told.keys();
  if (others.length > 0)
    throw damaged(
      IDENTITY_KEY,
      `it is lost, and objects of several repositories lie here: ${[...told.keys()].join(', ')}`,
    );
  if (first === undefined)
    return {
      ...base,
      content: undefined,
      detail: 'no pack, manifest or WAL file is whole enough to name the repository',
      assumed: [],
    };
  const oldest = seen.reduce((least, { info }) => Math.min(least, info.modifiedAt.getTime()), Infinity);
  const content = identityJson({
    id: first,
    createdAt: new Date(oldest).toISOString(),
    encrypted: encrypted && !(await wasPlain(store, options)),
  });
  const assumed = [
    'the time it was made, for which that of the oldest object looked at is put',
    'the sizes of frames, for which the usual ones are put',
  ];
  return { ...base, content, detail: `objects that were looked at name repository ${first}`, assumed };
}

/** A few objects of each kind. */
async function containersOf(
  store: Store,
  { signal }: Abortable,
): Promise<{ readonly info: ObjectInfo; readonly kind: ContainerKind }[]> {
  const found: { readonly info: ObjectInfo; readonly kind: ContainerKind }[] = [];
  const counts = new Map<ContainerKind, number>();
  for await (const info of store.list('clusters/', { signal })) {
    const [, inBackup, wal] = CONTAINER.exec(info.key) ?? [];
    const kind = (inBackup ?? wal) as ContainerKind | undefined;
    if (kind === undefined) continue;
    const count = counts.get(kind) ?? 0;
    if (count >= ASKED / 3) continue;
    counts.set(kind, count + 1);
    found.push({ info, kind });
  }
  return found;
}

/** A header that is proven from the object's own end. */
async function headerOf(store: Store, { key, sizeBytes }: ObjectInfo, kind: ContainerKind, { signal }: Abortable) {
  try {
    return await withCopies(
      store,
      key,
      async (copy) => (await readOutline(copy, { key, sizeBytes, kind }, signal)).fields,
    );
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'NOT_FOUND')) throw error;
    return undefined;
  }
}

/** Whether the repository had content before it had keys: then objects without encryption are no damage. */
async function wasPlain(store: Store, { signal }: Abortable): Promise<boolean> {
  const key = 'keys/1/generation.json';
  try {
    return openSealedJson(await readSealed(store, key, signal), key).boolean('plainBefore');
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'NOT_FOUND')) throw error;
    return false;
  }
}
