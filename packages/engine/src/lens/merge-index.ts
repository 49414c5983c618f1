import type { Abortable, TimelineId } from '@keyframe/contracts';
import type { OpenedWalIndex, WalIndex, WalIndexCache, WalIndexRef } from '@keyframe/repository';
import type { ChangedBlocks, SegmentIndex } from '@keyframe/wal';
import { encodeOutline, outlineOf } from '../log/outline.ts';
import { coveringRefs, mergeableGroups } from './coverage.ts';

/** Puts objects that fill a group together into one. Returns the new ones; the others are left for `expire`. */
export async function mergeIndex(
  index: WalIndex,
  refs: readonly WalIndexRef[],
  { timeline, segmentSizeBytes }: { readonly timeline: TimelineId; readonly segmentSizeBytes: number },
  options: Abortable & { readonly cache?: WalIndexCache | undefined },
): Promise<WalIndexRef[]> {
  const made: WalIndexRef[] = [];
  for (const members of mergeableGroups(coveringRefs(refs, timeline), segmentSizeBytes)) {
    const opened: OpenedWalIndex[] = [];
    for (const ref of members) {
      const one = await index.open(ref, options);
      if (one !== undefined) opened.push(one);
    }
    if (opened.length < members.length) continue;
    const segments: SegmentIndex[] = [];
    for (const one of opened) for await (const segment of one.details()) segments.push(segment);
    const blocks = mergeBlocks(await Promise.all(opened.map((one) => one.blocks())));
    const state = await opened.at(-1)?.state();
    const outline = encodeOutline(outlineOf(segments));
    made.push(await index.add({ timeline, segmentSizeBytes, segments, blocks, state, outline }, options));
  }
  return made;
}

/** The pages that changed in any of them. */
export function mergeBlocks(parts: readonly (readonly ChangedBlocks[])[]): ChangedBlocks[] {
  const merged = new Map<string, ChangedBlocks[]>();
  for (const each of parts.flat()) {
    const { tablespace, database, relfilenode } = each.relation;
    const key = `${tablespace}/${database}/${relfilenode}/${each.fork}`;
    merged.set(key, [...(merged.get(key) ?? []), each]);
  }
  return [...merged.values()].flatMap((same) => {
    const [first] = same;
    if (first === undefined) return [];
    const all = new Uint32Array(same.reduce((sum, { blocks }) => sum + blocks.length, 0));
    let at = 0;
    for (const { blocks } of same) {
      all.set(blocks, at);
      at += blocks.length;
    }
    all.sort();
    return [{ ...first, blocks: all.filter((block, index) => index === 0 || block !== all[index - 1]) }];
  });
}
