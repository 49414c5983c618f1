import { counted } from '@keyframe/contracts';
import type { MirroredStore } from '@keyframe/repository';

/** A look at all stores; what a second one no longer shows was only on its way. */
const LOOKS = 2;

/**
 * Why nothing may be removed while the stores of a repository differ: what is kept must be on all of them first. Else the
 * loss of one store could take both, what went everywhere and what had not arrived everywhere.
 */
export async function mirrorBlocks(
  mirror: Pick<MirroredStore, 'status'>,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<readonly string[]> {
  let blocks: string[] = [];
  for (let look = 0; look < LOOKS; look += 1) {
    const { stores } = await mirror.status(options);
    const differing = stores.filter(({ health }) => health !== 'ok');
    blocks = differing.map(({ name, health, missingObjects }) =>
      health === 'behind'
        ? `store ${name} lacks ${counted(missingObjects, 'object')}: run keyframe repository sync`
        : `store ${name} is ${WORDS[health]}: see keyframe repository status`,
    );
    if (differing.some(({ health }) => health !== 'behind') || blocks.length === 0) break;
  }
  return blocks;
}

const WORDS = {
  ok: 'whole',
  conflict: 'at odds with others',
  empty: 'without repository (is it mounted?)',
  foreign: 'another repository',
  unreachable: 'out of reach',
  'left-out': 'left out',
} as const;
