/** Runs a verification for `verify` and `wal verify`, and shows what it found. @packageDocumentation */
import { counted, KeyframeError, type Store } from '@keyframe/contracts';
import type { VerifyReport, VerifyRequest } from '@keyframe/engine';
import type { App } from '@keyframe/runtime';
import type { CommandContext, CommandResult } from '../command.ts';
import { formatDuration, formatSize, formatTime } from './format.ts';
import type { TextOutput } from './text.ts';

/** What was found, and how long it took. */
export interface VerifyRun extends VerifyReport {
  readonly repository: string;
  /** The one store that was looked at. */
  readonly store: string | undefined;
  readonly durationMs: number;
}

/** Verifies with what this host remembers. */
export async function runVerify(
  { openApp, signal, progress, log }: Pick<CommandContext<object, object>, 'openApp' | 'signal' | 'progress' | 'log'>,
  request: VerifyRequest,
  storeName: string | undefined,
): Promise<CommandResult<VerifyRun>> {
  const { openMemory, verify } = await import('@keyframe/engine');
  const { showEvents } = await import('./events.ts');
  const app = await openApp();
  const repository = storeName === undefined ? app.repository : app.repositoryOver(storeNamed(app, storeName));
  const { id } = await repository.identity({ signal });
  const shown = showEvents(progress, log);
  const started = performance.now();
  try {
    const memory = await openMemory(memoryFile(app, id, storeName));
    const isAlone = storeName !== undefined && app.mirror !== undefined;
    const context = { history: repository.cluster(app.clusterName), memory, now: app.host.now, isAlone };
    const report = await verify(context, request, { signal, onEvent: shown.onEvent });
    const remarks = [...report.remarks, ...ofSeveral(app, storeName), ...toMend(app, report)];
    const durationMs = Math.round(performance.now() - started);
    return {
      exit: report.findings.length === 0 ? 0 : 4,
      report: { repository: app.repositoryName, ...report, remarks, store: storeName, durationMs },
    };
  } finally {
    shown.finish();
  }
}

/** A copy has the id of its source and the same objects: what was read there says nothing about the disk here. */
function memoryFile(
  { stateDirectory, repositoryName, clusterName }: App,
  id: string,
  storeName: string | undefined,
): string {
  const file = storeName === undefined ? clusterName : `${clusterName}@${storeName}`;
  return `${stateDirectory}/verified/${id}/${repositoryName}/${file}.jsonl`;
}

/** Of an object with several copies one was read, whichever was nearest. */
function ofSeveral({ mirror }: App, storeName: string | undefined): VerifyReport['remarks'] {
  if (mirror === undefined || storeName !== undefined) return [];
  const names = mirror.members.map(({ name }) => name);
  const each = names.map((name) => `\`keyframe verify --store ${name}\``).join(', ');
  return [
    {
      message: `the ${names.length} stores were looked at as one, and one copy of each object was read`,
      hint: `Prove each store by itself with ${each}.`,
    },
  ];
}

/** What is damaged in one copy is mended from another, before anything else is done about it. */
function toMend({ mirror }: App, { findings }: VerifyReport): VerifyReport['remarks'] {
  if (mirror === undefined || !findings.some(({ kind }) => kind === 'damaged' || kind === 'missing')) return [];
  return [
    {
      message: 'another store may hold a whole copy of what is damaged or missing',
      hint: 'Run `keyframe repository sync --verify` first: it replaces what it can prove.',
    },
  ];
}

/** One of the stores, with its retries. @throws {KeyframeError} INVALID_OPTION */
export function storeNamed({ mirror, rawStores, store, repositoryName }: App, wanted: string): Store {
  const member = mirror?.members.find(({ name }) => name === wanted);
  if (member !== undefined) return member.store;
  if (mirror === undefined && rawStores.some(({ name }) => name === wanted)) return store;
  throw new KeyframeError('INVALID_OPTION', `the repository ${repositoryName} has no store ${JSON.stringify(wanted)}`, {
    hint: `Use --store with one of: ${rawStores.map(({ name }) => name).join(', ')}.`,
  });
}

/** A verification for people. */
export function renderVerify(report: VerifyRun, out: TextOutput): void {
  const { findings, remarks, coverage, cost, spent } = report;
  for (const { object, what, backups, moments, lastCommitBefore, hint } of findings) {
    out.line(`${out.style('bad', object)}: ${what}`);
    out.fields([
      ['  backups hit', backups.length === 0 ? undefined : backups.join(', ')],
      ['  moments lost', moments.length === 0 ? undefined : moments.join('; ')],
      ['  last commit before', lastCommitBefore],
      ['  hint', hint],
    ]);
  }
  for (const { message, hint } of remarks)
    out.line(`${out.style('warning', 'note')}: ${message}${hint === undefined ? '' : `. ${hint}`}`);
  out.fields([
    [
      'cluster',
      `${report.cluster} in ${report.repository}${report.store === undefined ? '' : `, store ${report.store} alone`}`,
    ],
    [
      'looked at',
      `${counted(report.backups, 'backup')}, ${counted(sumOf(report, 'segments'), 'WAL segment')}, ${sumOf(report, 'indexedSegments')} of them indexed`,
    ],
    [
      report.dryRun ? 'would read' : 'foreseen',
      `${counted(cost.objects, 'object')}, ${formatSize(cost.readBytes)}, ${counted(cost.requests, 'request')}`,
    ],
    [
      'read',
      report.dryRun
        ? undefined
        : `${formatSize(spent.readBytes)} in ${counted(spent.requests, 'request')}, ${formatDuration(report.durationMs)}`,
    ],
    ['checked', report.dryRun ? undefined : `${coverage.checked} ${LEVELS[report.level]}${ofHashes(coverage)}`],
    ['remembered', formatRemembered(coverage)],
    ['left out', coverage.leftOut === 0 ? undefined : `${coverage.leftOut} by the sample; its seed is ${report.seed}`],
    ...report.epochs.map(({ epoch, chain }): [string, string | undefined] => [
      `chain ${epoch}`,
      chain.head === undefined ? undefined : `${chain.entries} entries, head ${chain.head}`,
    ]),
  ]);
  if (report.dryRun) return;
  out.line(
    findings.length === 0
      ? out.style('good', 'nothing is wrong')
      : out.style('bad', `${findings.length} ${findings.length === 1 ? 'thing is' : 'things are'} wrong`),
  );
}

const sumOf = ({ epochs }: VerifyReport, figure: 'segments' | 'indexedSegments'): number =>
  epochs.reduce((sum, each) => sum + each[figure], 0);

function formatRemembered({ remembered, oldestReadAt = '' }: VerifyReport['coverage']): string | undefined {
  if (remembered === 0) return undefined;
  return `${remembered}, unchanged by their ends since ${formatTime(oldestReadAt)} or later`;
}

function ofHashes({ hashed }: VerifyReport['coverage']): string {
  return hashed === 0 ? '' : `, ${hashed} of them by hashes alone`;
}

const LEVELS = { outline: 'by header, frame table and end', content: 'byte for byte' } as const;
