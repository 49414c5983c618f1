import { type Abortable, hasCode, historyName, segmentName } from '@keyframe/contracts';
import type { WalArchive, WalObjectHeader } from '../wal/wal-archive.ts';
import { type CheckpointContent, IDENTITY_BYTES, type SignedFile, type SignedSegments } from './chain-entry.ts';
import { runsBeside, SegmentSet } from './segment-sets.ts';
import type { VouchedBackup } from './signing.ts';

/** Segments in one checkpoint: its object stays below 4 MiB. More come in further ones. */
const SEGMENTS_PER_CHECKPOINT = 65_536;
/** Headers read at once. */
const READS = 8;

/**
 * What is to be signed now: all published backups, and the WAL files that no checkpoint has named yet. Several of them when
 * there is much WAL, none when there is nothing new.
 */
export async function* checkpointsOf(
  wal: WalArchive,
  last: CheckpointContent | undefined,
  backups: readonly VouchedBackup[],
  options: Abortable,
): AsyncGenerator<CheckpointContent> {
  const inventory = await wal.inventory({ ...options, segmentSizeBytes: last?.segmentSizeBytes });
  const { segmentSizeBytes } = inventory;
  const covered = SegmentSet.of(last?.covered ?? [], segmentSizeBytes);
  const names = [...inventory.histories.map((timeline) => historyName(timeline)), ...inventory.partials];
  const files = await filesOf(wal, names, options);
  const content = (signed: readonly SignedSegments[]): CheckpointContent => ({
    backups,
    segmentSizeBytes,
    wal: signed,
    files,
    covered: covered.named(),
  });
  let signed: SignedSegments[] = [];
  let count = 0;
  let yielded = 0;
  for (const run of runsBeside(inventory, covered, SEGMENTS_PER_CHECKPOINT)) {
    const segments = Number(run.last - run.first) + 1;
    if (count > 0 && count + segments > SEGMENTS_PER_CHECKPOINT) {
      yield content(signed);
      yielded += 1;
      signed = [];
      count = 0;
    }
    const runNames = Array.from({ length: segments }, (_, index) =>
      segmentName(run.timeline, run.first + BigInt(index), segmentSizeBytes),
    );
    signed.push({ first: runNames[0] ?? '', identities: await identitiesOf(wal, runNames, options) });
    covered.add(run.timeline, run);
    count += segments;
  }
  if (count > 0 || (yielded === 0 && !isSame(last, backups, files))) yield content(signed);
}

function isSame(
  last: CheckpointContent | undefined,
  backups: readonly VouchedBackup[],
  files: readonly SignedFile[],
): boolean {
  const text = (of: unknown): string => JSON.stringify(of);
  return last !== undefined && text(last.backups) === text(backups) && text(last.files) === text(files);
}

async function identitiesOf(wal: WalArchive, names: readonly string[], options: Abortable): Promise<Buffer> {
  const identities = Buffer.alloc(names.length * IDENTITY_BYTES);
  for (let at = 0; at < names.length; at += READS) {
    const read = names.slice(at, at + READS).map(async (name, index) => {
      // Gone since it was listed, or damaged: named with zeros, so that it is neither forgotten nor vouched for.
      const header = await headerOf(wal, name, options);
      if (header !== undefined) identities.write(identityOf(header), (at + index) * IDENTITY_BYTES, 'hex');
    });
    await Promise.all(read);
  }
  return identities;
}

async function filesOf(wal: WalArchive, names: readonly string[], options: Abortable): Promise<SignedFile[]> {
  const files: SignedFile[] = [];
  for (const name of names) {
    const header = await headerOf(wal, name, options);
    if (header !== undefined) files.push({ name, identity: identityOf(header) });
  }
  return files;
}

async function headerOf(wal: WalArchive, name: string, options: Abortable): Promise<WalObjectHeader | undefined> {
  try {
    return await wal.header(name, options);
  } catch (error) {
    if (hasCode(error, 'CORRUPT')) return undefined;
    throw error;
  }
}

/** By what two copies of one WAL file are known as equal, whatever their stored bytes are. */
function identityOf(header: { readonly identity: string }): string {
  return header.identity;
}
