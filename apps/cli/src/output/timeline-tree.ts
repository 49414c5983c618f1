/** Draws the tree of timelines. @packageDocumentation */
import type { TimelineBranch, TimelineTree } from '@keyframe/engine';
import { formatTime } from './format.ts';
import type { TextOutput } from './text.ts';

interface Item {
  readonly at: bigint;
  readonly draw: (first: string, rest: string) => void;
}

const position = (text: string): bigint => {
  const [high = '0', low = '0'] = text.split('/');
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
};

/** One branch below the other, what lies on it in the order of its LSNs. Lines are short enough for a narrow terminal. */
export function renderTimelineTree(tree: TimelineTree, out: TextOutput): void {
  const known = new Set(tree.timelines.map(({ timeline }) => timeline));
  const roots = tree.timelines.filter(({ fork }) => fork === undefined || !known.has(fork.from));
  for (const root of roots) drawBranch(tree, root, '', '', out);
}

function drawBranch(tree: TimelineTree, branch: TimelineBranch, first: string, rest: string, out: TextOutput): void {
  const { timeline, fork, endLsn } = branch;
  const name = out.style('strong', `timeline ${timeline}`);
  const mark = timeline === tree.newest ? ' (followed by default)' : '';
  const up = endLsn === undefined ? 'no WAL of its own' : `WAL up to ${endLsn}`;
  out.line(`${first}${name}${mark}: ${up}`);
  const items = itemsOf(tree, branch, out);
  const bar = items.length > 0 ? '│ ' : '  ';
  if (fork !== undefined) {
    const time = fork.time === undefined ? '' : `, last commit ${formatTime(fork.time)}`;
    out.line(`${rest}${bar}forked from ${fork.from} at ${fork.lsn}${time}`);
    if (fork.reason !== '') out.line(`${rest}${bar}${out.style('dim', fork.reason)}`);
  }
  out.line(`${rest}${bar}${reachText(branch, out)}`);
  for (const [index, item] of items.entries()) {
    const isLast = index === items.length - 1;
    item.draw(`${rest}${isLast ? '└─' : '├─'}`, `${rest}${isLast ? '  ' : '│ '}`);
  }
}

function itemsOf(tree: TimelineTree, branch: TimelineBranch, out: TextOutput): readonly Item[] {
  const backups = branch.backups.map(({ label, stopLsn }) => ({
    at: position(stopLsn),
    draw: (first: string) => out.line(`${first}● ${label}, consistent at ${stopLsn}`),
  }));
  const children = tree.timelines
    .filter(({ fork }) => fork?.from === branch.timeline)
    .map((child) => ({
      at: position(child.fork?.lsn ?? '0/0'),
      draw: (first: string, rest: string) => drawBranch(tree, child, first, rest, out),
    }));
  return [...backups, ...children].toSorted((one, other) => (one.at < other.at ? -1 : 1));
}

function reachText({ lacksHistory, reach }: TimelineBranch, out: TextOutput): string {
  if (lacksHistory) return out.style('bad', 'its history file is missing: it cannot be followed');
  if (reach === undefined) return out.style('bad', 'cannot be recovered: no backup reaches it');
  if (reach.gap === undefined) return out.style('good', `can be recovered, from ${reach.backup}`);
  return out.style('bad', `can be recovered up to a gap: ${reach.gap} is missing after ${reach.backup}`);
}
