import { type Abortable, hasCode, type Store } from '@keyframe/contracts';
import { readHolder } from '../backup/record-json.ts';
import { openSealedJson } from '../format/sealed-json.ts';
import { readSealed } from '../objects/with-copies.ts';
import type { LeaseView } from './survey.ts';

/** The newest state of every lease below a prefix. One that is renewed or given back meanwhile may be told as it was. */
export async function viewLeases(store: Store, prefix: string, options: Abortable): Promise<LeaseView[]> {
  const newest = new Map<string, { readonly number: string; readonly writtenAt: Date }>();
  for await (const { key, modifiedAt } of store.list(prefix, options)) {
    const [, name, number] = /^(.+)\/(\d{10})$/u.exec(key) ?? [];
    if (name !== undefined && number !== undefined && number > (newest.get(name)?.number ?? ''))
      newest.set(name, { number, writtenAt: modifiedAt });
  }
  const views: LeaseView[] = [];
  for (const [name, { number, writtenAt }] of newest) {
    const key = `${name}/${number}`;
    try {
      const fields = openSealedJson(await readSealed(store, key, options.signal), key);
      views.push({
        name: name.slice(prefix.length),
        holder: readHolder(fields.object('holder')),
        expiresAt: fields.text('expiresAt'),
        writtenAt,
        released: fields.boolean('released'),
      });
    } catch (error) {
      if (!hasCode(error, 'NOT_FOUND')) throw error;
      // Renewed since the listing: whoever holds it holds it still.
      views.push(...(await viewLeases(store, prefix, options)).filter((view) => prefix + view.name === name));
    }
  }
  return views;
}
