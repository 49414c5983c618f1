/**
 * Which pages that interrupted backups stored are still as they were stored, by the WAL since.
 *
 * Everything before the start of a backup is on disk when its first file is read. What the WAL from there to the start of the
 * next one does not name is, hint bits aside, what it was, whenever between the two it was read.
 * @packageDocumentation
 */
import { hasCode, type Lsn, lsn, segmentName } from '@keyframe/contracts';
import {
  type BackupStart,
  parseRelationPath,
  type RelationFile,
  segmentTimelines,
  timelineAt,
  type TimelineHistory,
} from '@keyframe/postgres';
import type { FileSink, InterruptedBackup, StoredRange, WalArchive } from '@keyframe/repository';
import { createWalLens, type RelationId, type SegmentIndex, type WalLens } from '@keyframe/wal';
import type { StageOptions } from '../events.ts';
import { openWalSegment, type WalPiece } from './local-wal.ts';
import { PAGE_BYTES } from './page-lane.ts';
import { RelationChanges } from './relation-changes.ts';
import type { SourceFacts } from './source-facts.ts';

/** What the proof rests on. */
export interface SinceQuestion {
  readonly interrupted: readonly InterruptedBackup[];
  readonly source: SourceFacts;
  /** Of the server's timeline. */
  readonly history: TimelineHistory;
  /** Where this backup begins. */
  readonly start: Pick<BackupStart, 'startLsn' | 'timeline'>;
  readonly wal: Pick<WalArchive, 'get'>;
  readonly dataDirectory: string;
}

/** SizeOfXLogLongPHD: a position so close behind the start of a segment is the start of its first record. */
const SEGMENT_HEADER_BYTES = 40n;
/** So much WAL is read whatever that may save; it takes a second. */
const LITTLE_WAL_BYTES = 64n << 20n;

/** What happened since one interrupted backup began. */
class Since {
  readonly label: string;
  readonly from: Lsn;
  readonly changes: RelationChanges = new RelationChanges();

  constructor({ label, begun }: InterruptedBackup) {
    this.label = label;
    this.from = begun.startLsn;
  }
}

/** Knows what need not be read again. */
export class UnreadPages {
  readonly #since: ReadonlyMap<string, Since>;
  readonly #filePages: number;

  constructor(since: readonly Since[], filePages: number) {
    this.#since = new Map(since.map((each) => [each.label, each]));
    this.#filePages = filePages;
  }

  /** Ranges of a file that are as they were stored, ascending. Only of main forks: no WAL tells of the others. */
  async of(path: string, sink: Pick<FileSink, 'stored'>): Promise<readonly StoredRange[]> {
    const relation = parseRelationPath(path);
    if (relation?.fork !== 'main') return [];
    const chosen: StoredRange[] = [];
    for (const range of await sink.stored()) {
      const last = chosen.at(-1);
      if (last !== undefined && range.fileOffset < last.fileOffset + last.sizeBytes) continue;
      if (this.#isUnchanged(range, relation)) chosen.push(range);
    }
    return chosen;
  }

  #isUnchanged({ label, fileOffset, sizeBytes }: StoredRange, relation: RelationFile): boolean {
    const changes = this.#since.get(label)?.changes;
    // A last page that is not whole was being extended.
    if (changes === undefined || changes.unlogged || sizeBytes % PAGE_BYTES !== 0) return false;
    const first = relation.segment * this.#filePages + fileOffset / PAGE_BYTES;
    const end = first + sizeBytes / PAGE_BYTES;
    if (changes.keptBlocks(relation) < end) return false;
    for (let block = first; block < end; block += 1) if (changes.marked.has({ ...relation, block })) return false;
    return true;
  }
}

/** @returns undefined where nothing is known, so that all is read */
export async function findUnread(question: SinceQuestion, options: StageOptions): Promise<UnreadPages | undefined> {
  const since = question.interrupted.filter((each) => isOfUse(each, question)).map((each) => new Since(each));
  if (since.length === 0) return undefined;
  const why = await follow(since, question, options).catch((error: unknown) => {
    const codes = ['CORRUPT', 'REPOSITORY_FORMAT', 'WAL_INVALID', 'KEY_REQUIRED', 'KEY_WRONG', 'NOT_FOUND'] as const;
    if (!hasCode(error, ...codes)) throw error;
    return error.message;
  });
  if (why === undefined) return new UnreadPages(since, question.source.filePages);
  const message = `reading again what interrupted backups stored: ${why}`;
  options.onEvent?.({ kind: 'phase', phase: 'choose', message });
  return undefined;
}

/** On one timeline and of one server's writing; and less WAL to read than there is to save. */
function isOfUse({ begun, plainBytes }: InterruptedBackup, { source, start }: SinceQuestion): boolean {
  const walBytes = start.startLsn - begun.startLsn;
  return (
    source.pageBytes === PAGE_BYTES &&
    begun.timeline === start.timeline &&
    begun.timeline === source.timeline &&
    begun.dataChecksums === source.dataChecksums &&
    begun.walSegmentSizeBytes === source.segmentSizeBytes &&
    walBytes >= 0n &&
    (walBytes <= LITTLE_WAL_BYTES || walBytes <= BigInt(plainBytes))
  );
}

/** Reads the WAL from the first of them to the start. @returns why it does not tell all */
async function follow(
  since: readonly Since[],
  { source, history, start, wal, dataDirectory }: SinceQuestion,
  options: StageOptions,
): Promise<string | undefined> {
  const { segmentSizeBytes } = source;
  const size = BigInt(segmentSizeBytes);
  const to = start.startLsn;
  const first = since.reduce<Lsn>((least, { from }) => (from < least ? from : least), to);
  const lens = createWalLens({ segmentSizeBytes, timelineOf: (position) => timelineAt(history, position) });
  for (let number = first / size; number * size + SEGMENT_HEADER_BYTES < to; number += 1n) {
    const [timeline = history.timeline] = segmentTimelines(history, number, segmentSizeBytes);
    const name = segmentName(timeline, number, segmentSizeBytes);
    const begin = lsn(number * size);
    const borders = since.map(({ from }) => Number(from - begin));
    const place = { name, begin, segmentSizeBytes, sizeBytes: Number(to - begin), borders };
    await using pieces = await openWalSegment({ wal, dataDirectory }, place, options);
    if (pieces === undefined) return `WAL segment ${name} is neither in the repository nor in pg_wal`;
    const from = number === first / size ? first : undefined;
    const index = await readPieces(lens, pieces, { timeline, begin, from }, since);
    if (index === undefined) return `WAL segment ${name} ends early`;
    if (index.fault !== undefined && index.fault.at < to) return `WAL cannot be read past it: ${index.fault.message}`;
    if (lens.isFull) return 'too many relations were written to';
    for (const fact of index.facts) for (const each of since) if (fact.lsn >= each.from) each.changes.see(fact);
  }
  return undefined;
}

/** The pages of a piece are noted for each backup that began before its end: a page too many is read again, no more. */
async function readPieces(
  lens: WalLens,
  pieces: AsyncIterable<WalPiece>,
  { timeline, begin, from }: { readonly timeline: number; readonly begin: Lsn; readonly from: Lsn | undefined },
  since: readonly Since[],
): Promise<SegmentIndex | undefined> {
  let at = 0;
  let index: SegmentIndex | undefined;
  for await (const { bytes, more, isBorder } of pieces) {
    index = lens.read(bytes, { timeline, start: lsn(begin + BigInt(at)), more, from });
    at += bytes.length;
    if (more && !isBorder) continue;
    const told = since.filter((each) => each.from < begin + BigInt(at));
    for (const { relation, fork, blocks } of lens.takeBlocks())
      if (fork === 0) for (const { changes } of told) noteAll(changes, relation, blocks);
  }
  return index;
}

function noteAll({ marked }: RelationChanges, relation: RelationId, blocks: Uint32Array): void {
  for (const block of blocks) marked.add({ ...relation, block });
}
