import type { Store } from '@keyframe/contracts';
import type { ContractCase } from '../contract.ts';
import { ifAbsentCases, ifMatchCases } from './conditional-cases.ts';
import { listCases } from './list-cases.ts';
import { readCases } from './read-cases.ts';
import { putCases, unfinishedPutCases } from './write-cases.ts';

/** What every store must do. Each case uses keys of its own and removes them. */
export const storeCases: readonly ContractCase<Store>[] = [
  ...putCases,
  ...unfinishedPutCases,
  ...ifAbsentCases,
  ...ifMatchCases,
  ...readCases,
  ...listCases,
];
