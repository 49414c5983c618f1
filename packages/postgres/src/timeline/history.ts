/**
 * Timeline history: which timeline holds which part of the WAL.
 *
 * A timeline owns the half-open range from where it left its parent to where the next one on the path left it. The WAL
 * segment that holds a fork exists on both timelines; the child's copy is the one to replay. What the parent wrote after
 * the fork is a branch of its own, reachable only by a history that does not contain the child.
 * @see readTimeLineHistory(), tliOfPointInHistory() in PostgreSQL's src/backend/access/transam/timeline.c
 * @packageDocumentation
 */
import { formatLsn, KeyframeError, type Lsn, lsn, parseWalFileName, type TimelineId } from '@keyframe/contracts';

/** A timeline on the path, and the LSN where the path left it. */
export interface TimelineAncestor {
  readonly timeline: TimelineId;
  /** First LSN that this timeline no longer holds on the path. */
  readonly end: Lsn;
  /** Free text, e.g. `no recovery target specified`. */
  readonly reason: string;
}

/** The path of one timeline, ancestors oldest first. Timeline 1 has none. */
export interface TimelineHistory {
  readonly timeline: TimelineId;
  readonly ancestors: readonly TimelineAncestor[];
}

/** A stretch of the path: `begin` inclusive, `end` exclusive; the last one is open. */
export interface TimelineSpan {
  readonly timeline: TimelineId;
  readonly begin: Lsn;
  readonly end: Lsn | undefined;
}

const LINE = /^\s*([0-9]+)\s+([0-9A-Fa-f]+)\/([0-9A-Fa-f]+)[ \t]*(.*)$/;

/**
 * Reads a `.history` file. Blank lines and comments (`#`) are skipped, as PostgreSQL does.
 * @throws {KeyframeError} CORRUPT for a line that is no switch point, or ids that do not rise.
 */
export function parseTimelineHistory(name: string, text: string): TimelineHistory {
  const file = parseWalFileName(name);
  if (file?.kind !== 'history')
    throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(name)} is not the name of a timeline history file`);
  const ancestors = text
    .split('\n')
    .filter((line) => !/^\s*(?:#|$)/.test(line))
    .map((line) => parseSwitchPoint(name, line.trimEnd()));
  for (const [index, ancestor] of ancestors.entries()) {
    const previous = ancestors[index - 1];
    if (previous !== undefined && ancestor.timeline <= previous.timeline)
      throw damaged(name, 'timeline ids do not rise');
    if (previous !== undefined && ancestor.end < previous.end) throw damaged(name, 'switch points do not rise');
  }
  if (file.timeline <= (ancestors.at(-1)?.timeline ?? 0)) throw damaged(name, 'it names itself or a later timeline');
  return { timeline: file.timeline, ancestors };
}

function parseSwitchPoint(name: string, line: string): TimelineAncestor {
  const [, id, high, low, reason = ''] = LINE.exec(line) ?? [];
  if (id === undefined || high === undefined || low === undefined)
    throw damaged(name, `the line ${JSON.stringify(line)} is no switch point`);
  return { timeline: Number(id), end: lsn((BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)), reason };
}

/** The text of a `.history` file, in PostgreSQL's own form. Empty for timeline 1. */
export function formatTimelineHistory(history: TimelineHistory): string {
  return history.ancestors.map(({ timeline, end, reason }) => `${timeline}\t${formatLsn(end)}\t${reason}\n`).join('\n');
}

/** The history of a timeline that left `parent` at `end`. */
export function childHistory(
  parent: TimelineHistory,
  child: { readonly timeline: TimelineId; readonly end: Lsn; readonly reason: string },
): TimelineHistory {
  return {
    timeline: child.timeline,
    ancestors: [...parent.ancestors, { timeline: parent.timeline, end: child.end, reason: child.reason }],
  };
}

/** The path as stretches of WAL, oldest first. A timeline that wrote nothing on the path has an empty stretch. */
export function pathOf(history: TimelineHistory): readonly TimelineSpan[] {
  const spans: TimelineSpan[] = [];
  let begin = lsn(0n);
  for (const { timeline, end } of history.ancestors) {
    spans.push({ timeline, begin, end });
    begin = end;
  }
  return [...spans, { timeline: history.timeline, begin, end: undefined }];
}

/** The timeline whose WAL holds the byte at `position`: at a fork it is the child's. */
export function timelineAt(history: TimelineHistory, position: Lsn): TimelineId {
  return history.ancestors.find(({ end }) => position < end)?.timeline ?? history.timeline;
}

/**
 * True when a record that starts at `position` on `timeline` is part of this history. Ask it of a base backup's start
 * (its checkpoint and redo LSN) before recovering to `history.timeline`.
 */
export function historyContains(history: TimelineHistory, timeline: TimelineId, position: Lsn): boolean {
  return timelineAt(history, position) === timeline;
}

/**
 * True when everything before `end` on `timeline` is part of this history. Ask it of ends: a base backup's stop LSN, a
 * minimum recovery point. An end exactly at the fork still belongs to the parent.
 */
export function historyReaches(history: TimelineHistory, timeline: TimelineId, end: Lsn): boolean {
  return end > 0n && timelineAt(history, lsn(end - 1n)) === timeline;
}

/**
 * The timelines whose copy of that segment fits this history, the one to replay first. More than one only where the
 * segment holds a fork: the parent's copy then ends at the fork.
 */
export function segmentTimelines(
  history: TimelineHistory,
  segmentNumber: bigint,
  segmentSizeBytes: number,
): readonly TimelineId[] {
  const size = BigInt(segmentSizeBytes);
  const first = segmentNumber * size;
  return pathOf(history)
    .filter((span) => span.begin / size <= segmentNumber && (span.end === undefined || first < span.end))
    .map((span) => span.timeline)
    .toReversed();
}

function damaged(name: string, why: string): KeyframeError {
  return new KeyframeError('CORRUPT', `timeline history ${name} is damaged: ${why}`, {
    hint: `Compare ${name} with the copy in the server's pg_wal directory, and archive that one with \`keyframe wal push\`.`,
    details: { file: name },
  });
}
