/** Figures of single runs, and what is made of several. @packageDocumentation */

/** Scenarios, in the order of the report. */
export type ScenarioName =
  | 'limits'
  | 'backup'
  | 'restore'
  | 'full-before'
  | `increment-${PatternName}`
  | 'days'
  | 'restore-full'
  | 'restore-days'
  | `delta-${'random' | 'clustered'}`
  | 'memory'
  | 'backlog'
  | 'answered'
  | 'push'
  | 'push-again'
  | 'replay'
  | 'start';

/** Share of the pages that are changed, and how they lie. */
export type PatternName = '1-random' | '1-clustered' | '10-random' | '10-clustered';

/** Figures of one run of one contender in one scenario. */
export interface Sample {
  readonly scenario: ScenarioName;
  readonly title: string;
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** CPU of the server's processes meanwhile. */
  readonly serverCpuSeconds?: number | undefined;
  readonly peakRssBytes?: number | undefined;
  readonly storedBytes?: number | undefined;
  readonly objects?: number | undefined;
  /** Requests to the store, where they can be counted. */
  readonly requests?: number | undefined;
  /** Load average of the machine over the last minute, when the run began. */
  readonly load: number;
}

export type Figure =
  | 'wallSeconds'
  | 'cpuSeconds'
  | 'serverCpuSeconds'
  | 'peakRssBytes'
  | 'storedBytes'
  | 'objects'
  | 'requests';

/** The middle one of several figures; the mean of the two middle ones of an even number. */
function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted[sorted.length % 2 === 0 ? middle - 1 : middle];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}

/** Median of one figure over the rounds of one row. */
export function figureOf(samples: readonly Sample[], figure: Figure): number | undefined {
  return median(samples.flatMap((sample) => sample[figure] ?? []));
}

/** Client and server together, median of the sums. */
export function wholeCpu(samples: readonly Sample[]): number | undefined {
  return median(samples.map(({ cpuSeconds, serverCpuSeconds = 0 }) => cpuSeconds + serverCpuSeconds));
}
