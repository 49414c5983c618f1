/** The stores of a repository in the config file: how they are called, and when a write to them counts. @packageDocumentation */
import { isMap, NAME, NAME_RULE } from './schema.ts';
import type { DraftProblem } from './shape.ts';

/** Options of a store that the repository reads; the rest are its plugin's. */
export const STORE_KEYS: readonly string[] = ['name', 'classes', 'archive'];

/** What a store is called: its `name`, else what `use` says where that is a plain word, else its place. */
export function storeName(slot: unknown, index: number): string {
  const { name, use } = isMap(slot) ? slot : { name: undefined, use: slot };
  if (typeof name === 'string') return name;
  return typeof use === 'string' && NAME.test(use) ? use : `store-${index + 1}`;
}

/** Counts, names and the write rule of one repository. `fix` is advice for a list without stores. */
export function checkStoreSlots(name: string, repository: unknown, fix: string | undefined): DraftProblem[] {
  const { stores, quorum, lead } = isMap(repository) ? repository : {};
  if (!Array.isArray(stores)) return [];
  const path = ['repositories', name];
  if (stores.length === 0) return [{ path: [...path, 'stores'], reason: 'must name a store', fix }];
  const names = (stores as unknown[]).map(storeName);
  return [
    ...(stores as unknown[]).flatMap((slot, index) => checkName(slot, names, [...path, 'stores', index])),
    ...checkLead(lead, names, [...path, 'lead']),
    ...checkQuorum(quorum, lead, names.length, [...path, 'quorum']),
  ];
}

function checkName(slot: unknown, names: readonly string[], path: (string | number)[]): DraftProblem[] {
  const index = Number(path.at(-1));
  const given = isMap(slot) ? slot['name'] : undefined;
  const own = names[index] ?? '';
  if (given !== undefined && (typeof given !== 'string' || !NAME.test(given)))
    return [{ path: [...path, 'name'], reason: `is no name: ${NAME_RULE}`, fix: 'Choose another name.' }];
  if (names.indexOf(own) === index) return [];
  return [{ path, reason: `another store is called ${own}, too`, fix: 'Give each of them a `name` of its own.' }];
}

function checkLead(lead: unknown, names: readonly string[], path: string[]): DraftProblem[] {
  if (typeof lead !== 'string' || names.includes(lead)) return [];
  const reason = `there is no store ${JSON.stringify(lead)}`;
  return [{ path, reason, fix: `Write one of ${names.join(', ')}.` }];
}

/** Two sets of stores that suffice for a write must have one in common, or two writers could both believe to be the first. */
function checkQuorum(quorum: unknown, lead: unknown, stores: number, path: string[]): DraftProblem[] {
  if (typeof quorum !== 'number') return [];
  const least = lead === undefined ? Math.floor(stores / 2) + 1 : 1;
  if (quorum >= least && quorum <= stores) return [];
  const reason = `must be from ${least} to ${stores}, more than half of the stores unless there is a \`lead\``;
  return [{ path, reason, fix: `Write ${least}, or name a \`lead\`.` }];
}
