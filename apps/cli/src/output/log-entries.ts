/** Entries of the history for people. @packageDocumentation */
import type { LogReport } from '@keyframe/engine';
import type { TextOutput } from './text.ts';

type Entry = LogReport['entries'][number];

/** Two lines or more for each, short enough for a narrow terminal. */
export function renderEntries(entries: readonly Entry[], out: TextOutput): void {
  for (const entry of entries) renderEntry(entry, out);
}

function renderEntry(entry: Entry, out: TextOutput): void {
  const { time, lastTime, suspicious } = entry;
  out.line(out.style('strong', lastTime === undefined ? time : `${time} to ${lastTime.slice(11)}`));
  out.line(`  ${out.style('dim', whoOf(entry))}`);
  const mark = suspicious.length > 0 ? 'bad' : undefined;
  const each = entry.count > 1 ? 'each: ' : '';
  for (const what of entry.did) out.line(`  ${mark === undefined ? `${each}${what}` : out.style(mark, what)}`);
  if (entry.did.length === 0) out.line('  nothing that has a name here');
  for (const why of suspicious) out.line(`  ${out.style('warning', `! ${why}`)}`);
  if (entry.partial) out.line('  it began before the WAL that was read: at least so many rows');
}

function whoOf(entry: Entry): string {
  const { kind, xid, highestXid, lsn, database, outcome, prepared, count } = entry;
  if (kind === 'restore-point') return `LSN ${lsn}`;
  const who = count > 1 ? `${count.toLocaleString('en')} transactions, xid ${xid} to ${highestXid}` : `xid ${xid}`;
  const end = outcome === 'abort' ? ', rolled back' : prepared ? ', prepared' : '';
  return `${who}${end}, LSN ${lsn}${database === undefined ? '' : `, database ${database}`}`;
}
