import { createMemoryStore } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { backUp, openArchive, restoreTree, sampleTree, SMALL } from '../../test/support.ts';

test('a backup comes back as it was', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  const tree = sampleTree();
  const record = await backUp(archive, tree);
  const restored = await restoreTree(archive, record);
  expect(restored.tree).toEqual(tree);
  expect(await archive.backups.list()).toEqual([record]);
});
