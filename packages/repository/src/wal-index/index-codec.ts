/**
 * The frames of an object of the WAL index: summary, details, changed blocks, state.
 * @packageDocumentation
 */
import { lsn, type TimelineId } from '@keyframe/contracts';
import type { ChangedBlocks, LensFact, RelationId, SegmentIndex, WalEnd } from '@keyframe/wal';
import { ByteReader, ByteWriter } from '../format/bytes.ts';
import { damaged, tooNew } from '../objects/damage.ts';
import { readFolded, readTransactions, writeFolded, writeTransactions } from './effect-codec.ts';
import {
  each,
  readRelations,
  readTables,
  RelationNames,
  type Relations,
  writeRelations,
  writeTables,
} from './relation-codec.ts';
import { readState, writeState } from './state-codec.ts';
import type { SegmentSummary, WalIndexContent, WalIndexState } from './wal-index.ts';

const VERSION = 2;
/** Had no outline. */
const FIRST_VERSION = 1;
/** Details are cut into frames of about this size, between segments. */
const DETAIL_FRAME_BYTES = 1 << 20;

/** The plain content of the frames, in order. */
export function encodeIndex(content: WalIndexContent): Buffer[] {
  const names = new RelationNames();
  const details = content.segments.map((segment) => encodeDetails(segment, names));
  const frames = packed(details);
  // Before the summary, which lists all relations.
  const blocks = encodeBlocks(content.blocks, names);
  const state = content.state === undefined ? [] : [writeState(content.state)];
  const summary = encodeSummary(content, details, { names, detailFrames: frames.length });
  return [summary, ...frames, blocks, ...state];
}

function packed(details: readonly Buffer[]): Buffer[] {
  const frames: Buffer[] = [];
  let parts: Buffer[] = [];
  let size = 0;
  for (const detail of details) {
    parts.push(detail);
    size += detail.length;
    if (size < DETAIL_FRAME_BYTES) continue;
    frames.push(Buffer.concat(parts));
    parts = [];
    size = 0;
  }
  if (parts.length > 0) frames.push(Buffer.concat(parts));
  return frames;
}

function encodeSummary(
  { timeline, segmentSizeBytes, segments, outline }: WalIndexContent,
  details: readonly Buffer[],
  { names, detailFrames }: { readonly names: RelationNames; readonly detailFrames: number },
): Buffer {
  const body = new ByteWriter();
  for (const [index, segment] of segments.entries()) writeSummary(body, segment, details[index]?.length ?? 0, names);
  const writer = new ByteWriter();
  writer.varint(VERSION);
  writer.varint(timeline);
  writer.varint(segmentSizeBytes);
  writer.varint(Number(segments[0]?.startLsn ?? 0n));
  writer.varint(detailFrames);
  writeRelations(writer, names.all);
  writer.varint(segments.length);
  writer.bytes(body.view());
  writer.counted(outline ?? new Uint8Array());
  return writer.take();
}

function writeSummary(writer: ByteWriter, segment: SegmentIndex, detailBytes: number, names: RelationNames): void {
  const { times, xids, fault } = segment;
  writer.varint(detailBytes);
  writer.varint(segment.records);
  writer.varint(segment.commits);
  writer.varint(segment.aborts);
  writer.varint((times === undefined ? 0 : 1) | (xids === undefined ? 0 : 2) | (fault === undefined ? 0 : 4));
  if (times !== undefined) {
    writer.varint(Number(times.first));
    writer.varint(Number(times.last - times.first));
  }
  if (xids !== undefined) {
    writer.varint(xids.lowest);
    writer.varint(xids.highest);
  }
  if (fault !== undefined) {
    writer.varint(Number(fault.at));
    writer.counted(Buffer.from(fault.reason));
    writer.counted(Buffer.from(fault.message));
  }
  writeTables(writer, segment.relations, names);
}

/** A summary that was read, and where the details of its segments lie. */
export interface DecodedSummary {
  readonly timeline: TimelineId;
  readonly segmentSizeBytes: number;
  readonly detailFrames: number;
  readonly relations: readonly RelationId[];
  readonly segments: readonly { readonly summary: SegmentSummary; readonly detailBytes: number }[];
  readonly outline: Uint8Array | undefined;
}

/** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeSummary(bytes: Uint8Array, key: string): DecodedSummary {
  const reader = new ByteReader(bytes, key);
  const version = reader.varint();
  if (version !== VERSION && version !== FIRST_VERSION) throw tooNew(key, `it is of version ${version}`);
  const timeline = reader.varint();
  const segmentSizeBytes = reader.varint();
  let startLsn = reader.varint();
  const detailFrames = reader.varint();
  const relations = readRelations(reader);
  const segments = each(reader, () => {
    const detailBytes = reader.varint();
    const place = { timeline, startLsn: lsn(BigInt(startLsn)), endLsn: lsn(BigInt(startLsn + segmentSizeBytes)) };
    startLsn += segmentSizeBytes;
    return { detailBytes, summary: readSummary(reader, relations, place) };
  });
  const outline = version === FIRST_VERSION ? [] : reader.counted();
  if (reader.left > 0) throw damaged(key, 'its summary goes on behind its end');
  return {
    timeline,
    segmentSizeBytes,
    detailFrames,
    relations,
    segments,
    outline: outline.length === 0 ? undefined : Uint8Array.from(outline),
  };
}

function readSummary(
  reader: ByteReader,
  relations: Relations,
  place: Pick<SegmentSummary, 'timeline' | 'startLsn' | 'endLsn'>,
): SegmentSummary {
  const [records, commits, aborts, flags] = [reader.varint(), reader.varint(), reader.varint(), reader.varint()];
  const first = (flags & 1) === 0 ? undefined : reader.varint();
  const times = first === undefined ? undefined : { first: BigInt(first), last: BigInt(first + reader.varint()) };
  const xids = (flags & 2) === 0 ? undefined : { lowest: reader.varint(), highest: reader.varint() };
  const fault = (flags & 4) === 0 ? undefined : readFault(reader);
  return { ...place, records, commits, aborts, times, xids, fault, relations: readTables(reader, relations) };
}

const REASONS: readonly WalEnd['reason'][] = [
  'zeros',
  'stale-page',
  'cut',
  'page-header',
  'timeline',
  'record-header',
  'previous-link',
  'checksum',
  'continuation',
];

function readFault(reader: ByteReader): WalEnd {
  const at = lsn(BigInt(reader.varint()));
  const said = reader.counted().toString('utf8');
  const reason = REASONS.find((known) => known === said) ?? 'record-header';
  return { at, reason, message: reader.counted().toString('utf8') };
}

function encodeDetails(segment: SegmentIndex, names: RelationNames): Buffer {
  const writer = new ByteWriter();
  writeTransactions(writer, segment.transactions, { names, startLsn: Number(segment.startLsn) });
  writeFolded(writer, segment.folded, names);
  writer.counted(Buffer.from(segment.facts.length === 0 ? '' : JSON.stringify(segment.facts, bigintAsText)));
  writer.counted(segment.notes ?? new Uint8Array());
  return writer.take();
}

/** @throws {KeyframeError} CORRUPT */
export function decodeDetails(
  bytes: Uint8Array,
  summary: SegmentSummary,
  relations: Relations,
  key: string,
): SegmentIndex {
  const reader = new ByteReader(bytes, key);
  const transactions = readTransactions(reader, relations, Number(summary.startLsn));
  const folded = readFolded(reader, relations);
  const facts = readFacts(reader.counted(), key);
  const notes = reader.counted();
  if (reader.left > 0) throw damaged(key, 'the details of a segment go on behind their end');
  return { ...summary, transactions, folded, facts, notes: notes.length === 0 ? undefined : Uint8Array.from(notes) };
}

/** Big integers as texts: the names of members say which they are. */
const BIG = new Set(['lsn', 'endLsn', 'previousEndLsn', 'timeMicros', 'redo', 'startLsn', 'abandonedLsn']);
const bigintAsText = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value);

function readFacts(bytes: Buffer, key: string): LensFact[] {
  if (bytes.length === 0) return [];
  try {
    return JSON.parse(bytes.toString('utf8'), (name, value: unknown) =>
      BIG.has(name) && typeof value === 'string' ? BigInt(value) : value,
    ) as LensFact[];
  } catch (error) {
    if (error instanceof SyntaxError) throw damaged(key, 'its facts are no JSON', { cause: error });
    throw error;
  }
}

/** Blocks as runs: how many to skip, and how many follow each other. */
function encodeBlocks(changed: readonly ChangedBlocks[], names: RelationNames): Buffer {
  const writer = new ByteWriter();
  writer.varint(changed.length);
  for (const { relation, fork, blocks } of changed) {
    const runs = runsOf(blocks);
    writer.varint(names.numberOf(relation));
    writer.varint(fork);
    writer.varint(runs.length);
    let before = 0;
    for (const [first, count] of runs) {
      // The lowest bit tells a run from a single block, which most are.
      writer.varint((first - before) * 2 + (count > 1 ? 1 : 0));
      if (count > 1) writer.varint(count);
      before = first + count;
    }
  }
  return writer.take();
}

function runsOf(blocks: Uint32Array): [first: number, count: number][] {
  const runs: [number, number][] = [];
  for (const block of blocks) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === block) last[1] += 1;
    else runs.push([block, 1]);
  }
  return runs;
}

/** @throws {KeyframeError} CORRUPT */
export function decodeBlocks(bytes: Uint8Array, relations: Relations, key: string): ChangedBlocks[] {
  const reader = new ByteReader(bytes, key);
  return each(reader, () => {
    const relation = relations[reader.varint()];
    const fork = reader.varint();
    const blocks: number[] = [];
    let before = 0;
    for (let left = reader.varint(); left > 0; left--) {
      const coded = reader.varint();
      const first = before + Math.floor(coded / 2);
      const count = coded % 2 === 1 ? reader.varint() : 1;
      if (first + count > 0x1_00_00_00_00 || blocks.length + count > 1 << 28)
        throw damaged(key, 'a run of blocks is too long');
      for (let block = first; block < first + count; block++) blocks.push(block);
      before = first + count;
    }
    if (relation === undefined) throw damaged(key, 'its blocks are of a relation that it does not list');
    return { relation, fork, blocks: Uint32Array.from(blocks) };
  });
}

/** @throws {KeyframeError} CORRUPT */
export function decodeState(bytes: Uint8Array, key: string): WalIndexState {
  return readState(new ByteReader(bytes, key));
}
