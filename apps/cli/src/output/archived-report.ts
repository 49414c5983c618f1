import { counted } from '@keyframe/contracts';
import type { ArchivedPacks } from '@keyframe/engine';
import { formatSize } from './format.ts';
import type { TextOutput } from './text.ts';

type Shown = Omit<ArchivedPacks, 'keys'>;

/** Without the names of thousands of packs. */
export function withoutKeys({ store, storageClass, packs, bytes, thawing, hours }: ArchivedPacks): Shown {
  return { store, storageClass, packs, bytes, thawing, hours };
}

/** What of the backup must be thawed first, and how long that takes. */
export function renderArchived({ store, storageClass, packs, bytes, thawing, hours }: Shown, out: TextOutput): void {
  const speeds = Object.entries(hours).map(([speed, most]) => `${speed} up to ${most} h`);
  out.line();
  out.line(
    out.style(
      'warning',
      `${counted(packs, 'pack')} (${formatSize(bytes)}) lie in ${storageClass} of ${store} and must be thawed first${speeds.length === 0 ? '' : `: ${speeds.join(', ')}`}`,
    ),
  );
  if (thawing > 0) out.line(`${counted(thawing, 'pack')} of them are being thawed`);
  out.line('`keyframe restore … --thaw standard` asks for them and waits.');
}
