import { readFile } from 'node:fs/promises';
import { counted, KeyframeError } from '@keyframe/contracts';
import type { CostReport, PriceTable } from '@keyframe/engine';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatSize } from '../output/format.ts';
import type { TextOutput } from '../output/text.ts';

interface Report extends CostReport {
  readonly repository: string;
  readonly priced: boolean;
}

export const command: Command = defineCommand({
  name: 'cost',
  summary: 'What the repository holds, how it grows, and what that costs',
  description: `Lists every store once and sums up what it holds by kind and storage class. Prices are the providers' list prices in US dollars for a cheap region; your region and contract differ: print the table, change it, and name it by --prices.

The forecast takes the growth of the last thirty days and the retention of the config file. When the last week brought more than twice an average week before it, that is told as unexpected (event repository.growth).

Requests that read are not counted: what a restore reads, \`keyframe plan\` tells.`,
  examples: [
    { run: 'keyframe cost' },
    { run: 'keyframe cost --print-prices > prices.json', note: 'the table to begin with' },
    { run: 'keyframe cost --prices prices.json --json' },
  ],
  positionals: [],
  options: {
    prices: { kind: 'string', flag: '--prices', value: 'file', description: 'a price table of your own, in JSON' },
    printPrices: { kind: 'boolean', flag: '--print-prices', description: 'print the built-in price table and end' },
  },
  exits: { 0: 'reckoned', ...FAULT_EXITS },
  async run({ openApp, options, signal, progress, log }): Promise<{ exit: number; report: Report | PriceTable }> {
    const engine = await import('@keyframe/engine');
    const { policyOf } = await import('../retention-policy.ts');
    if (options.printPrices) return { exit: 0, report: engine.LIST_PRICES };
    const prices =
      options.prices === undefined ? engine.LIST_PRICES : await pricesFrom(options.prices, engine.parsePrices);
    const app = await openApp();
    await app.repository.identity({ signal });
    const task = progress.task('listing', { unit: 'items' });
    const expires =
      (app.cluster.retention ?? app.configuration.repositories.get(app.repositoryName)?.retention) !== undefined;
    const facts = {
      history: app.repository.cluster(app.clusterName),
      holder: await engine.thisProcess('keyframe cost'),
      stateOf: engine.holderState,
      now: app.host.now,
    };
    const freed = expires ? await engine.foretellFreed(facts, policyOf(app), { signal }) : () => 0;
    const cost = await engine.reckonCost(
      { stores: app.rawStores, prices, freedIn: async (days) => freed(days), now: app.host.now },
      { signal, onObjects: (objects) => task.update(objects, undefined) },
    );
    task.finish();
    if (cost.growth.unexpected)
      log.warn('repository.growth: the last week brought more than twice an average week before it');
    const report = { repository: app.repositoryName, priced: cost.monthly > 0, ...cost };
    return { exit: 0, report };
  },
  renderText(report, out) {
    if ('providers' in report) out.line(JSON.stringify(report, undefined, 2));
    else render(report, out);
  },
});

async function pricesFrom(file: string, parse: (text: string, file: string) => PriceTable): Promise<PriceTable> {
  try {
    return parse(await readFile(file, 'utf8'), file);
  } catch (error) {
    if (error instanceof KeyframeError) throw error;
    throw new KeyframeError('INVALID_OPTION', `the prices in ${file} cannot be read`, {
      cause: error,
      hint: 'Write a table with `keyframe cost --print-prices > prices.json`.',
    });
  }
}

function render(report: Report, out: TextOutput): void {
  const money = (amount: number): string => `${amount.toFixed(2)} ${report.currency}`;
  const { growth, priced } = report;
  out.line(`repository ${out.style('strong', report.repository)}: ${formatSize(report.bytes)} on all stores`);
  out.line();
  out.table(
    ['store', 'what', 'class', 'objects', 'size', 'a month'],
    report.lines.map((line) => [
      line.store,
      line.kind,
      line.storageClass === '' ? '-' : line.storageClass,
      String(line.objects),
      formatSize(line.bytes),
      priced ? money(line.monthly) : '-',
    ]),
    { right: [3, 4, 5] },
  );
  out.line();
  out.line(
    `growth: ${formatSize(growth.bytesPerDay)} a day, ${counted(growth.writesPerMonth, 'object')} in the last thirty days`,
  );
  if (growth.unexpected)
    out.line(
      out.style(
        'warning',
        `unexpected: ${formatSize(growth.lastWeekBytes)} in the last week, ${formatSize(growth.weekBeforeBytes ?? 0)} in an average one before`,
      ),
    );
  for (const { days, bytes, monthly } of report.forecast)
    out.line(`in ${days} days: ${formatSize(bytes)}${priced ? `, ${money(monthly)} a month` : ''}`);
  if (priced)
    out.line(
      `now: ${money(report.monthly)} a month to keep, ${money(report.monthlyWrites)} for what was written in the last thirty days`,
    );
  else out.line(out.style('dim', 'no price is known for these stores: name a table by --prices'));
}
