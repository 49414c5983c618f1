/** `keyframe.json` on several stores: the one object that makes a store part of the repository. @packageDocumentation */
import { type ByteSource, hasCode, KeyframeError, type ObjectInfo, type Store } from '@keyframe/contracts';
import { bytesOf, drain } from '@keyframe/contracts/streams';
import { IDENTITY_KEY } from '../keys.ts';
import { readSmall } from '../objects/read-range.ts';
import type { Mirror } from './mirror.ts';

/**
 * Creates the repository on every store, one after the other, so that of two who do so at once one wins everywhere.
 * @throws {KeyframeError} ALREADY_EXISTS when another was first; whatever a store raises that cannot take it
 */
export async function writeIdentity(
  mirror: Mirror,
  source: ByteSource,
  signal: AbortSignal | undefined,
): Promise<ObjectInfo> {
  const ours = await drain(source.open());
  let content = ours;
  let info: ObjectInfo | undefined;
  for (const { store } of mirror.asked) {
    const held = await offer(store, content, signal);
    if (info === undefined) {
      content = held;
      info = { key: IDENTITY_KEY, sizeBytes: held.length, modifiedAt: new Date() };
    } else if (!held.equals(content)) throw another();
  }
  mirror.membership.forget();
  if (info === undefined) throw another();
  if (!content.equals(ours))
    throw new KeyframeError('ALREADY_EXISTS', `object '${IDENTITY_KEY}' already exists`, {
      details: { key: IDENTITY_KEY },
    });
  return info;
}

/** Makes a store part of the repository, by the operator's word alone. */
export async function addStore(mirror: Mirror, name: string, signal: AbortSignal | undefined): Promise<void> {
  const member = mirror.asked.find((each) => each.name === name);
  if (member === undefined)
    throw new KeyframeError('INVALID_OPTION', `the repository has no store ${JSON.stringify(name)}`, {
      hint: `Name one of ${mirror.asked.map((each) => each.name).join(', ')}.`,
    });
  const holder = await holderOf(mirror, signal);
  if (!(await offer(member.store, holder, signal)).equals(holder)) throw another();
  mirror.membership.forget();
  member.forgive();
}

async function holderOf(mirror: Mirror, signal: AbortSignal | undefined): Promise<Buffer> {
  if ((await mirror.membership.id()) === undefined)
    throw new KeyframeError('REPOSITORY_MISSING', 'no store holds the repository yet', {
      hint: 'Run `keyframe repository create` first.',
    });
  for (const member of mirror.asked) {
    const content = await member
      .use((store) => readSmall(store, IDENTITY_KEY, signal))
      .catch((error: unknown) => {
        member.note(error);
      });
    if (content !== undefined) return content;
  }
  throw another();
}

/** What the store holds afterwards. */
async function offer(store: Store, content: Buffer, signal: AbortSignal | undefined): Promise<Buffer> {
  try {
    if (store.capabilities.conditionalPut === true)
      await store.put(IDENTITY_KEY, bytesOf(content), { ifAbsent: true, signal });
    else if ((await store.stat(IDENTITY_KEY, { signal })) === undefined)
      await store.put(IDENTITY_KEY, bytesOf(content), { signal });
    else return await readSmall(store, IDENTITY_KEY, signal);
    return content;
  } catch (error) {
    if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
    return readSmall(store, IDENTITY_KEY, signal);
  }
}

function another(): KeyframeError {
  return new KeyframeError('CONFLICT', 'the stores hold different repositories', {
    hint: 'Correct `repositories.<name>.stores`: each must be empty or hold this repository.',
  });
}
