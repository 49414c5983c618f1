/** Segments put together from the parts that were streamed of them. @packageDocumentation */
import { createHash } from 'node:crypto';
import { type ByteStream, hasCode, KeyframeError, type WalFileName } from '@keyframe/contracts';
import type { EpochContext } from '../epoch-context.ts';
import { walKey } from '../keys.ts';
import { parseWalPart, partOfKey, type WalPartName } from './part-name.ts';
import { openProven } from './proven-wal.ts';
import type { WalObjectHeader } from './wal-archive.ts';
import { decodeWalObject } from './wal-content.ts';

/** What is read: the bytes of a segment up to `endBytes`, from parts; zeros follow to the size of a segment. */
export interface StreamedRequest {
  readonly segment: Extract<WalFileName, { kind: 'segment' }>;
  readonly endBytes: number;
  readonly signal: AbortSignal | undefined;
}

/** A WAL object, opened. */
export interface OpenWal {
  readonly header: WalObjectHeader;
  readonly content: ByteStream;
}

const ZEROS = new Uint8Array(1 << 20);

/** Opens one object of the archive by its name and key. */
export async function openWal(
  context: EpochContext,
  { key, name, signal }: { readonly key: string; readonly name: string; readonly signal: AbortSignal | undefined },
): Promise<OpenWal> {
  if (context.store.copies !== undefined) return openProven(context, { key, name, signal });
  return decodeWalObject(context, await context.store.get(key, { signal }), { key, name });
}

/** The parts of one segment that are stored. */
export async function listParts(
  { store, prefix }: EpochContext,
  segment: Extract<WalFileName, { kind: 'segment' }>,
  signal: AbortSignal | undefined,
): Promise<WalPartName[]> {
  const parts: WalPartName[] = [];
  for await (const { key } of store.list(`${prefix}${walKey(segment)}.parts/`, { signal })) {
    const part = partOfKey(key);
    if (part !== undefined && prefix + partKey(part) === key) parts.push(part);
  }
  return parts;
}

/** Key of a part below the archive's prefix. */
export function partKey(part: Pick<WalPartName, 'name' | 'segment'>): string {
  const name = part.segment;
  return `wal/${name.slice(0, 8)}/${name.slice(8, 16)}/${part.name}`;
}

/** Key of any object of the archive; `undefined` for what is no name of one. */
export function partKeyOf(name: string): string | undefined {
  const part = parseWalPart(name);
  return part === undefined ? undefined : partKey(part);
}

/** `undefined` when the parts that are there do not reach so far. @throws {KeyframeError} CORRUPT, KEY_REQUIRED */
export async function openStreamed(context: EpochContext, request: StreamedRequest): Promise<OpenWal | undefined> {
  const { segment, endBytes, signal } = request;
  const chosen = covering(await listParts(context, segment, signal), endBytes);
  const [first] = chosen;
  if (first === undefined) return undefined;
  try {
    const opened = await open(context, first, signal);
    const segmentSizeBytes = opened.header.segmentSizeBytes ?? 0;
    const { name } = segment;
    const header = { ...opened.header, name, kind: 'segment', sizeBytes: segmentSizeBytes } as const;
    return { header, content: contentOf(context, { chosen, opened, endBytes, segmentSizeBytes, signal }) };
  } catch (error) {
    // Whoever stored the whole segment meanwhile has removed them.
    if (hasCode(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

function open(context: EpochContext, part: WalPartName, signal: AbortSignal | undefined): Promise<OpenWal> {
  return openWal(context, { key: context.prefix + partKey(part), name: part.name, signal });
}

/** The fewest parts that hold everything up to `endBytes`; none when there is a gap. */
function covering(parts: readonly WalPartName[], endBytes: number): WalPartName[] {
  const chosen: WalPartName[] = [];
  for (let at = 0; at < endBytes;) {
    let best: WalPartName | undefined;
    for (const part of parts) if (part.start <= at && part.end > Math.max(at, best?.end ?? 0)) best = part;
    if (best === undefined) return [];
    chosen.push(best);
    at = best.end;
  }
  return chosen;
}

interface Assembly {
  readonly chosen: readonly WalPartName[];
  /** The first of them. */
  readonly opened: OpenWal;
  readonly endBytes: number;
  readonly segmentSizeBytes: number;
  readonly signal: AbortSignal | undefined;
}

async function* contentOf(context: EpochContext, assembly: Assembly): AsyncGenerator<Uint8Array> {
  const { chosen, opened, endBytes, segmentSizeBytes, signal } = assembly;
  let at = 0;
  for (const [index, part] of chosen.entries()) {
    const before = chosen[index - 1];
    if (before !== undefined && before.end > part.start) await assertAgree(context, [before, part], signal);
    const { content } = index === 0 ? opened : await stillThere(open(context, part, signal), part);
    let offset = part.start;
    for await (const piece of content) {
      const wanted = piece.subarray(Math.max(0, at - offset), Math.max(0, endBytes - offset));
      offset += piece.length;
      if (wanted.length === 0) continue;
      at += wanted.length;
      yield wanted;
    }
  }
  for (; at < segmentSizeBytes; at += ZEROS.length) yield ZEROS.subarray(0, segmentSizeBytes - at);
}

/** Where two writers stored the same stretch it must be the same: else they followed two servers, and a mixture is neither's. */
async function assertAgree(
  context: EpochContext,
  [one, other]: readonly [WalPartName, WalPartName],
  signal: AbortSignal | undefined,
): Promise<void> {
  const range = { start: other.start, end: Math.min(one.end, other.end) };
  const hashes: string[] = [];
  for (const part of [one, other]) {
    const digest = createHash('sha256');
    let offset = part.start;
    for await (const piece of (await stillThere(open(context, part, signal), part)).content) {
      digest.update(piece.subarray(Math.max(0, range.start - offset), Math.max(0, range.end - offset)));
      offset += piece.length;
    }
    hashes.push(digest.digest('hex'));
  }
  if (hashes[0] === hashes[1]) return;
  throw new KeyframeError('CORRUPT', `the parts ${one.name} and ${other.name} hold different bytes of the same WAL`, {
    hint: 'Two servers wrote this timeline: find out which one is yours (`keyframe wal verify --deep` names the objects), and put the other parts aside.',
    details: { key: context.prefix + partKey(other), other: context.prefix + partKey(one) },
  });
}

/** Half a segment was given out already: it cannot be begun again from the whole one. */
async function stillThere(opened: Promise<OpenWal>, { name }: WalPartName): Promise<OpenWal> {
  try {
    return await opened;
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
    throw new KeyframeError('UNAVAILABLE', `the part ${name} was removed while it was read`, {
      cause: error,
      hint: 'Run the same command again: its whole segment is archived by now.',
      details: { name },
    });
  }
}
