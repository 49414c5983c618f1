import { type AccessFacet, KeyframeError, type StoreRole } from '@keyframe/contracts';
import type { App } from '@keyframe/runtime';
import type { TextOutput } from './text.ts';

/** The least rights of a role on one store, in the provider's own words. */
export interface StoreRights extends ReturnType<AccessFacet['policy']> {
  readonly store: string;
  readonly access: StoreRole;
}

/** @throws {KeyframeError} INVALID_OPTION for a store that the repository does not have, UNSUPPORTED where rights are not given by a document */
export function rightsOf({ rawStores, repositoryName }: App, name: string, access: StoreRole): StoreRights {
  const named = rawStores.find((each) => each.name === name);
  if (named === undefined)
    throw new KeyframeError('INVALID_OPTION', `the repository ${repositoryName} has no store ${JSON.stringify(name)}`, {
      hint: `Use --store with one of: ${rawStores.map((each) => each.name).join(', ')}.`,
    });
  const { access: facet } = named.store;
  if (facet === undefined)
    throw new KeyframeError('UNSUPPORTED', `the store ${name} does not take its rights from a document`, {
      hint: 'Give the user that runs Keyframe its directory, as the guide of the store says.',
    });
  return { store: name, access, ...facet.policy(access) };
}

/** Only the document goes where it can be piped from; what to do with it is said before it, as a comment where the language has one. */
export function renderRights({ language, document, note }: StoreRights, out: TextOutput): void {
  for (const line of note.split('\n')) out.line(out.style('dim', language === 'sh' ? `# ${line}` : line));
  out.line();
  out.line(document.trimEnd());
}
