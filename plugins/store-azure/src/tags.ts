import type { TagsFacet } from '@keyframe/contracts';
import type { Azure } from './azure.ts';
import { elements, escaped, textIn } from './xml.ts';

/** Blob index tags, which rules of the account can name. */
export function tagsFacet(azure: Azure): TagsFacet {
  return {
    of: async (key, { signal } = {}) => {
      const text = await azure.text({ method: 'GET', key, query: { comp: 'tags' }, signal });
      return Object.fromEntries(
        elements(text, 'Tag').map((tag) => [textIn(tag, 'Key') ?? '', textIn(tag, 'Value') ?? '']),
      );
    },
    set: async (key, tags, { signal } = {}) => {
      const all = Object.entries(tags).map(
        ([name, value]) => `<Tag><Key>${escaped(name)}</Key><Value>${escaped(value)}</Value></Tag>`,
      );
      const text = `<?xml version="1.0" encoding="utf-8"?><Tags><TagSet>${all.join('')}</TagSet></Tags>`;
      await azure.headers({
        method: 'PUT',
        key,
        query: { comp: 'tags' },
        headers: { 'content-type': 'application/xml' },
        body: [Buffer.from(text)],
        signal,
      });
    },
  };
}
