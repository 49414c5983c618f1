import type { RepositoryTuning } from './tuning.ts';

/** What the default tuning takes: two packs of each kind, one filled and one on its way, the manifest, frames under way. */
const DEFAULT_BUDGET_BYTES = 160 << 20;
const SMALLEST_PACK_BYTES = 1 << 20;
/** Larger packs save few requests, and are what a lost connection costs. */
const LARGEST_GROWTH = 2;

/** The same tuning within that much memory; packs get smaller with it, and more. */
export function tuningWithin(tuning: RepositoryTuning, memoryBytes: number | undefined): RepositoryTuning {
  if (memoryBytes === undefined) return tuning;
  const share = Math.min(LARGEST_GROWTH, memoryBytes / DEFAULT_BUDGET_BYTES);
  const scaled = (bytes: number): number => Math.max(SMALLEST_PACK_BYTES, Math.floor(bytes * share));
  return {
    ...tuning,
    packBytes: scaled(tuning.packBytes),
    bundlePackBytes: scaled(tuning.bundlePackBytes),
    manifestBufferBytes: scaled(tuning.manifestBufferBytes),
    framesInFlight: Math.max(2, Math.round(tuning.framesInFlight * share)),
  };
}
