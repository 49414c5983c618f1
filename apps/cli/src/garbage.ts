/** What V8 is told about memory. @packageDocumentation */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** Both halves. Half of a backup's CPU is codecs and hashes, so that more room saves nothing that could be measured. */
const ENOUGH_BYTES = 8 << 20;
const LOOK_MS = 25;

/**
 * V8 doubles the young generation again and again, up to 64 MiB and more on a large machine, and never gives any of it back:
 * a fifth of the memory that a whole backup may take. Its own limit is read once, before any script runs, but the factor by
 * which it grows is read each time. The timer keeps no process alive.
 */
export function boundYoungGeneration(): void {
  const timer = setInterval(() => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    if (young !== undefined && young.space_size < ENOUGH_BYTES) return;
    setFlagsFromString('--semi-space-growth-factor=1');
    clearInterval(timer);
  }, LOOK_MS);
  timer.unref();
}

/** Percent of what is alive, some 12 MiB. */
const GARBAGE = 500;

/**
 * Looks for garbage less often. The buffers of codecs are outside the heap and count as if they were in it: while segments are
 * coded one after the other V8 would look through the whole heap for every second one, at a tenth of all CPU, and a fifth
 * where they are fetched.
 */
export function letGarbageWait(): void {
  setFlagsFromString(`--heap-growing-percent=${GARBAGE}`);
}
