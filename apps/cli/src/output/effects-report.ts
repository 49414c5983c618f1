/** What a target keeps and loses, for people. @packageDocumentation */
import type { EffectsReport } from '@keyframe/engine';
import { renderEntries } from './log-entries.ts';
import type { TextOutput } from './text.ts';

type Sum = EffectsReport['lost'];

const TABLES = 12;

/** Behind the plan itself. */
export function renderEffects(effects: EffectsReport, out: TextOutput): void {
  const { kept, lost } = effects;
  out.line();
  renderSum('kept since the backup', kept, out);
  renderSum('lost, up to the end of the archive', lost, out);
  if (effects.firstLost.length > 0) {
    out.line();
    out.line(out.style('strong', 'The first that are lost:'));
    renderEntries(effects.firstLost, out);
  }
  renderOrder(effects, out);
  renderTargets(effects, out);
  out.line();
  out.line(out.style('dim', `Counted: ${effects.rowsCover}.`));
  if (effects.missingSegments > 0)
    out.line(
      out.style('bad', `${effects.missingSegments} segments could not be read whole: see \`keyframe wal verify\``),
    );
}

function renderSum(what: string, { transactions, tables }: Sum, out: TextOutput): void {
  const count = `${transactions.toLocaleString('en')} ${transactions === 1 ? 'transaction' : 'transactions'}`;
  out.line(`${what}: ${out.style('strong', transactions === 0 ? 'nothing' : count)}`);
  out.table(
    ['  table', 'inserted', 'updated', 'deleted'],
    tables
      .slice(0, TABLES)
      .map(({ name, inserted, updated, deleted }) => [`  ${name}`, cell(inserted), cell(updated), cell(deleted)]),
    { right: [1, 2, 3] },
  );
  if (tables.length > TABLES) out.line(`  and ${tables.length - TABLES} more tables: --json has them`);
}

const cell = (rows: number): string => (rows === 0 ? '' : rows.toLocaleString('en'));

/** Transactions commit in another order than they begin, and an xid is given when they begin. */
function renderOrder({ keptThoughLater, lostThoughEarlier }: EffectsReport, out: TextOutput): void {
  if (keptThoughLater.length === 0 && lostThoughEarlier.length === 0) return;
  const list = (entries: EffectsReport['firstLost']): string => entries.map(({ xid }) => xid).join(', ');
  out.line();
  out.line(out.style('warning', 'An xid tells when a transaction began; what counts is when it committed:'));
  if (lostThoughEarlier.length > 0) out.line(`  lost though their xid is lower: ${list(lostThoughEarlier)}`);
  if (keptThoughLater.length > 0) out.line(`  kept though their xid is higher: ${list(keptThoughLater)}`);
}

function renderTargets({ targets }: EffectsReport, out: TextOutput): void {
  if (targets.length === 0) return;
  out.line();
  out.line(out.style('strong', 'Moments just before what looks unusual:'));
  for (const { target, before, xid, lastCommit, isKept } of targets) {
    const word = isKept ? out.style('bad', 'kept') : out.style('good', 'lost');
    out.line(`  ${out.style('strong', target)}  (${word} by this plan: ${before})`);
    if (lastCommit !== undefined)
      out.line(`    last commit before xid ${xid}: ${lastCommit.time}, xid ${lastCommit.xid}, LSN ${lastCommit.lsn}`);
  }
}
