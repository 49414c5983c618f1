/** The tables. @packageDocumentation */
import type { Contender } from './contender.ts';
import { ANSWERED } from './scenarios/answered.ts';
import { figureOf, type Sample, type ScenarioName, wholeCpu } from './samples.ts';

const seconds = (value: number | undefined): string =>
  value === undefined ? '' : value >= 10 ? value.toFixed(1) : value.toFixed(2);
const millis = (value: number | undefined): string => (value === undefined ? '' : (value * 1000).toFixed(0));
const megabytes = (value: number | undefined): string => (value === undefined ? '' : (value / 1e6).toFixed(0));
const times = (value: number, best: number): string => `${(value / best).toFixed(2)}×`;

/** `other` gives the samples of the same row in another scenario. */
type Cell = (samples: readonly Sample[], best: Best, other: (scenario: ScenarioName) => readonly Sample[]) => string;
type Column = readonly [heading: string, cell: Cell];

/** Least of the peers in the same group. */
interface Best {
  readonly wall: number | undefined;
  readonly cpu: number | undefined;
}

const ratio = (value: number | undefined, best: number | undefined): string =>
  value === undefined || best === undefined ? '' : times(value, best);

const WALL: Column = ['wall s', (samples) => seconds(figureOf(samples, 'wallSeconds'))];
const CPU: Column = ['CPU s', (samples) => seconds(figureOf(samples, 'cpuSeconds'))];
const SERVER: Column = ['server CPU s', (samples) => seconds(figureOf(samples, 'serverCpuSeconds'))];
const RSS: Column = ['peak RSS MB', (samples) => megabytes(figureOf(samples, 'peakRssBytes'))];
const STORED: Column = ['stored MB', (samples) => megabytes(figureOf(samples, 'storedBytes'))];
const STORED_EXACT: Column = [
  'stored MB',
  (samples) => {
    const value = figureOf(samples, 'storedBytes');
    return value === undefined ? '' : (value / 1e6).toFixed(1);
  },
];
const OBJECTS: Column = ['objects', (samples) => String(figureOf(samples, 'objects') ?? '')];
const REQUESTS: Column = ['requests', (samples) => String(figureOf(samples, 'requests') ?? '')];
const WALL_RATIO: Column = ['wall / best peer', (samples, { wall }) => ratio(figureOf(samples, 'wallSeconds'), wall)];
const CPU_RATIO: Column = ['CPU / best peer', (samples, { cpu }) => ratio(wholeCpu(samples), cpu)];

/** This row's wall time against that of the same row in another scenario. */
const against = (heading: string, scenario: ScenarioName, invert = false): Column => [
  heading,
  (samples, _best, other) => {
    const [own, theirs] = [samples, other(scenario)].map((each) => figureOf(each, 'wallSeconds'));
    if (own === undefined || theirs === undefined) return '';
    return invert ? times(theirs, own) : times(own, theirs);
  },
];

const rate = (count: number, value: number | undefined): string =>
  value === undefined ? '' : (count / value).toFixed(1);

const per = (heading: string, count: number, figure: 'wallSeconds' | 'cpuSeconds'): Column => [
  heading,
  (samples) => {
    const value = figureOf(samples, figure);
    return value === undefined ? '' : ((value / count) * 1000).toFixed(0);
  },
];

interface Table {
  readonly scenario: ScenarioName;
  readonly heading: string;
  readonly columns: readonly Column[];
}

const tables = (segments: number, again: number): readonly Table[] => [
  { scenario: 'limits', heading: 'What the machine can do', columns: [WALL, CPU, SERVER] },
  {
    scenario: 'backup',
    heading: 'Full backup',
    columns: [WALL, CPU, SERVER, RSS, STORED, OBJECTS, WALL_RATIO, CPU_RATIO],
  },
  {
    scenario: 'restore',
    heading: 'Restore into an empty directory',
    columns: [WALL, CPU, RSS, WALL_RATIO, CPU_RATIO],
  },
  {
    scenario: 'full-before',
    heading: 'Full backup before the increments',
    columns: [WALL, CPU, SERVER, RSS, STORED, OBJECTS, REQUESTS, WALL_RATIO, CPU_RATIO],
  },
  ...(['1-random', '1-clustered', '10-random', '10-clustered'] as const).map((pattern): Table => {
    const [share, how] = pattern.split('-');
    return {
      scenario: `increment-${pattern}`,
      heading: `Increment after ${share} % of the pages changed, ${how}`,
      columns: [WALL, CPU, SERVER, RSS, STORED_EXACT, OBJECTS, REQUESTS, WALL_RATIO, CPU_RATIO],
    };
  }),
  {
    scenario: 'days',
    heading: 'Ten daily increments of 2 %, random: each day, and the whole repository after them',
    columns: [WALL, CPU, SERVER, REQUESTS, STORED, OBJECTS, WALL_RATIO, CPU_RATIO],
  },
  {
    scenario: 'restore-full',
    heading: 'Restore of the full backup alone',
    columns: [WALL, CPU, RSS, REQUESTS, WALL_RATIO],
  },
  {
    scenario: 'restore-days',
    heading: 'Restore of the full backup and ten increments',
    columns: [WALL, CPU, RSS, REQUESTS, against('wall / full alone', 'restore-full'), WALL_RATIO],
  },
  ...(['clustered', 'random'] as const).map((how): Table => ({
    scenario: `delta-${how}`,
    heading: `The same over a copy of which 1 % of the pages are wrong, ${how}`,
    columns: [
      WALL,
      CPU,
      RSS,
      REQUESTS,
      against('faster than into an empty directory', 'restore-days', true),
      WALL_RATIO,
    ],
  })),
  {
    scenario: 'memory',
    heading: 'Memory, by the size of the database',
    columns: [WALL, CPU, RSS, STORED, OBJECTS],
  },
  {
    scenario: 'backlog',
    heading: `Backlog of ${segments} segments, archived by a server that starts with it`,
    columns: [
      WALL,
      CPU,
      ['segments a second', (samples) => rate(segments, figureOf(samples, 'wallSeconds'))],
      per('CPU ms a segment', segments, 'cpuSeconds'),
      RSS,
      STORED,
      WALL_RATIO,
      CPU_RATIO,
    ],
  },
  {
    scenario: 'answered',
    heading: `archive_command for ${ANSWERED} segments that went ahead`,
    columns: [
      per('wall ms a segment', ANSWERED, 'wallSeconds'),
      per('CPU ms a segment', ANSWERED, 'cpuSeconds'),
      WALL_RATIO,
      CPU_RATIO,
    ],
  },
  {
    scenario: 'push',
    heading: `WAL push: archive_command for ${segments} segments, one after the other`,
    columns: [
      WALL,
      CPU,
      per('wall ms a segment', segments, 'wallSeconds'),
      per('CPU ms a segment', segments, 'cpuSeconds'),
      RSS,
      STORED,
      WALL_RATIO,
      CPU_RATIO,
    ],
  },
  {
    scenario: 'push-again',
    heading: `The same for ${again} segments that are archived already`,
    columns: [
      per('wall ms a segment', again, 'wallSeconds'),
      per('CPU ms a segment', again, 'cpuSeconds'),
      WALL_RATIO,
      CPU_RATIO,
    ],
  },
  {
    scenario: 'replay',
    heading: `Replay of ${segments} segments with restore_command, PostgreSQL's own work included`,
    columns: [WALL, CPU, WALL_RATIO, CPU_RATIO],
  },
  {
    scenario: 'start',
    heading: 'Process start',
    columns: [
      ['wall ms', (samples) => millis(figureOf(samples, 'wallSeconds'))],
      ['CPU ms', (samples) => millis(figureOf(samples, 'cpuSeconds'))],
      RSS,
    ],
  },
];

export interface Results {
  readonly samples: readonly Sample[];
  readonly contenders: readonly Contender[];
  /** What went wrong, by title. */
  readonly failures: ReadonlyMap<string, string>;
  readonly segments: number;
  /** Of which so many were pushed a second time. */
  readonly segmentsAgain: number;
}

/** Markdown of everything that was measured. */
export function report(results: Results): string {
  const parts = tables(results.segments, results.segmentsAgain).flatMap((table) => {
    const rows = results.samples.filter(({ scenario }) => scenario === table.scenario);
    return rows.length === 0 ? [] : [`### ${table.heading}\n\n${lines(table, rows, results).join('\n')}\n`];
  });
  return parts.join('\n');
}

function lines(
  table: Table,
  samples: readonly Sample[],
  { contenders, failures, samples: allSamples }: Results,
): string[] {
  const byTitle = Map.groupBy(samples, ({ title }) => title);
  const known = contenders.filter(({ title }) => byTitle.has(title)).map(({ title }) => title);
  const titles = [...known, ...[...byTitle.keys()].filter((title) => !known.includes(title))];
  const rows = titles.map((title) => {
    const own = byTitle.get(title) ?? [];
    const best = bestPeer(contenders.find((each) => each.title === title)?.group, byTitle, contenders);
    const other = (scenario: ScenarioName): readonly Sample[] =>
      allSamples.filter((each) => each.scenario === scenario && each.title === title);
    return [title].concat(table.columns.map(([, cell]) => cell(own, best, other)));
  });
  const reasonOf = ({ title, missing, missingChains }: Contender): string | undefined => {
    if (missing !== undefined) return `skipped: ${missing}`;
    if (missingChains !== undefined && /^(?:days|restore-|delta)/.test(table.scenario))
      return `skipped: ${missingChains}`;
    const failure = byTitle.has(title) ? undefined : failures.get(title);
    return failure === undefined ? undefined : `failed: ${failure.replaceAll(/\s+/g, ' ').slice(0, 150)}`;
  };
  const absent = contenders
    .filter((each) => takesPart(each, table.scenario))
    .flatMap((each) => {
      const reason = reasonOf(each);
      return reason === undefined ? [] : [[each.title, reason].concat(table.columns.slice(1).map(() => ''))];
    });
  const headings = ['', ...table.columns.map(([heading]) => heading)];
  const rule = headings.map((_, index) => (index === 0 ? '---' : '---:'));
  return [headings, rule, ...rows, ...absent].map((cells) => `| ${cells.map(escaped).join(' | ')} |`);
}

const escaped = (cell: string): string => cell.replaceAll('|', '\\|');

function takesPart({ backups, wal, increments, pushesByHand }: Contender, scenario: ScenarioName): boolean {
  if (scenario.startsWith('push') && pushesByHand === false) return false;
  if (scenario === 'limits' || scenario === 'start' || scenario === 'memory' || scenario === 'answered') return false;
  if (/^(?:full-before|increment|days|restore-|delta)/.test(scenario)) return increments === true;
  return scenario === 'backup' || scenario === 'restore' ? backups !== false : wal !== false;
}

function bestPeer(
  group: string | undefined,
  byTitle: ReadonlyMap<string, readonly Sample[]>,
  contenders: readonly Contender[],
): Best {
  const inGroup = contenders.filter((each) => each.group === group);
  if (!inGroup.some(({ isKeyframe }) => isKeyframe)) return { wall: undefined, cpu: undefined };
  const peers = inGroup.filter(({ isKeyframe }) => !isKeyframe);
  const least = (figure: (samples: readonly Sample[]) => number | undefined): number | undefined => {
    const values = peers.flatMap(({ title }) => figure(byTitle.get(title) ?? []) ?? []);
    return values.length === 0 ? undefined : Math.min(...values);
  };
  return { wall: least((samples) => figureOf(samples, 'wallSeconds')), cpu: least(wholeCpu) };
}
