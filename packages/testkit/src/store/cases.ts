import type { Store } from '@keyframe/contracts';
import type { ContractCase } from '../contract.ts';
import { ifAbsentCases, ifMatchCases } from './conditional-cases.ts';
import { abortedFacetCases, labelCases, lifecycleCases, retentionCases, tellingCases } from './facet-cases.ts';
import { listCases } from './list-cases.ts';
import { readCases } from './read-cases.ts';
import { versionCases } from './version-cases.ts';
import { putCases, unfinishedPutCases } from './write-cases.ts';

/** What every store must do, and what each of its facets must. Each case uses keys of its own and removes them. */
export const storeCases: readonly ContractCase<Store>[] = [
  ...putCases,
  ...unfinishedPutCases,
  ...ifAbsentCases,
  ...ifMatchCases,
  ...readCases,
  ...listCases,
  ...versionCases,
  ...labelCases,
  ...tellingCases,
  ...lifecycleCases,
  ...abortedFacetCases,
  // Last: it waits for locks to end.
  ...retentionCases,
];
