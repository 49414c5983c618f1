/** What `check store` found, for people. @packageDocumentation */
import { counted } from '@keyframe/contracts';
import type { Measurements, StoreFact, StoreReport } from '@keyframe/testkit';
import { formatSize } from './format.ts';
import type { TextOutput, TextStyle } from './text.ts';

const MARKS = {
  yes: ['good', 'yes'],
  no: ['dim', 'no'],
  weak: ['warning', 'in part'],
  wrong: ['bad', 'WRONG'],
} as const satisfies Record<StoreFact['verdict'], readonly [TextStyle, string]>;

const VERDICTS = {
  good: ['good', 'good: it keeps its contract, and Keyframe can use it to the full'],
  limited: ['warning', 'limited: it keeps its contract, and Keyframe does with less where that is said above'],
  broken: ['bad', 'broken: it does not do what its adapter says; do not keep backups in it'],
} as const satisfies Record<StoreReport['verdict'], readonly [TextStyle, string]>;

const marked = ([style, text]: readonly [TextStyle, string], out: TextOutput): string => out.style(style, text);

/** Abilities and what follows from them, figures, the cases that failed, and the verdict last. */
export function printStoreReport(
  report: StoreReport & { readonly store: string; readonly repository: string },
  out: TextOutput,
): void {
  const { store, repository, prefix, facts, measured, measureFault, cases, verdict } = report;
  out.line(`store ${out.style('strong', store)} of repository ${out.style('strong', repository)}, below ${prefix}`);
  out.line();
  out.table(
    ['can it', '', 'so Keyframe'],
    facts.map(({ title, verdict: can, means }) => [title, marked(MARKS[can], out), `… ${means}`]),
  );
  out.line();
  if (measured !== undefined) printFigures(measured, out);
  if (measureFault !== undefined) out.line(`${out.style('bad', 'not measured')}: ${measureFault}`);
  out.line();
  const failed = cases.filter(({ status }) => status === 'failed');
  for (const { name, reason } of failed) {
    out.line(`${out.style('bad', 'failed')} ${name}`);
    out.line(out.style('dim', `       ${reason ?? ''}`));
  }
  const passed = cases.filter(({ status }) => status === 'passed').length;
  const skipped = cases.length - passed - failed.length;
  out.line(
    `${counted(cases.length, 'contract case')}: ${passed} passed, ${failed.length} failed, ${skipped} not for this store`,
  );
  out.line(marked(VERDICTS[verdict], out));
}

function printFigures(measured: Measurements, out: TextOutput): void {
  const { uploadBytesPerSecond: up, downloadBytesPerSecond: down, winners, listing, clockAheadMs } = measured;
  const calls = (['put', 'get', 'stat', 'list'] as const).map((name): [string, string] => {
    const { medianMs, slowestMs } = measured[name];
    return [name, `${milliseconds(medianMs)}, the slowest ${milliseconds(slowestMs)}`];
  });
  const speed = (rates: { readonly one: number; readonly four: number }): string =>
    `${formatSize(rates.one)}/s in one stream, ${formatSize(rates.four)}/s in four`;
  out.fields([
    ...calls,
    ['upload', speed(up)],
    ['download', speed(down)],
    ['last 64 KiB of 8 MiB', milliseconds(measured.rangeMs)],
    ['16 creators at once', `${counted(winners, 'of them was', 'of them were')} told that it created the object`],
    [
      'listings',
      `${listing.written} of ${listing.of} objects seen right after their put, ${listing.stale} after their delete`,
    ],
    ['clock', clockText(clockAheadMs)],
  ]);
}

function clockText(aheadMs: number): string {
  if (aheadMs === 0) return 'as ours';
  return `${milliseconds(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} ours`;
}

const milliseconds = (value: number): string =>
  value >= 1_000 ? `${(value / 1_000).toFixed(1)} s` : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
