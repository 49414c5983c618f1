import { hasCode } from '@keyframe/contracts';
import type { EpochContext } from '../epoch-context.ts';
import { encodeSealedKey } from '../encryption/keyring.ts';
import { encryptionOf, type ObjectEncryption } from '../encryption/object-encryption.ts';
import { SECTION } from '../format/chunk-index.ts';
import { assertSha256, decodeHead } from '../format/container.ts';
import { decodeDirectory, decodeFooter, decodeTable, FOOTER_BYTES, type TableEntry } from '../format/container-tail.ts';
import { pathHash } from '../format/manifest-tables.ts';
import { decodePackContent, type PackedFrame } from '../format/pack-content.ts';
import { damaged } from '../objects/damage.ts';
import { readRange } from '../objects/read-range.ts';
import { withCopies } from '../objects/with-copies.ts';
import { Recent } from '../objects/recent.ts';
import { readBeginning } from './beginning.ts';
import { type BaseFrame, type BaseMap, BaseMapBuilder } from './base-map.ts';
import type { OtherPack } from './pack-table.ts';
import type { BackupBeginning } from './record.ts';
import type { InterruptedBackup } from './writer.ts';

const PACK = /\/pack-(\d+)$/u;
const READS = 8;
const KEPT = 8;
/** A pack that carries a whole manifest in its tail has little else. */
const TAIL_LIMIT_BYTES = 32 << 20;

interface Pack {
  readonly other: OtherPack;
  readonly sizeBytes: number;
}

interface OpenPack {
  readonly other: OtherPack;
  readonly begun: BackupBeginning | undefined;
  readonly frames: readonly BaseFrame[];
  readonly content: readonly PackedFrame[];
}

/** What the packs of an unfinished backup hold. Only whole packs have a footer, and only they count. */
export class UnfinishedContent {
  readonly label: string;
  #plainBytes = 0;
  #begun: BackupBeginning | undefined;
  readonly #context: EpochContext;
  readonly #packs: Pack[] = [];
  /** By hash of a path: the packs that hold bytes of it. */
  readonly #byPath = new Map<number, number[]>();
  readonly #recent = new Recent<number, OpenPack>(KEPT);

  private constructor(context: EpochContext, label: string) {
    this.#context = context;
    this.label = label;
  }

  /** Reads the tails of its packs. Call it when an intent names the label: then nobody removes them. */
  static async open(
    context: EpochContext,
    label: string,
    signal: AbortSignal | undefined,
    isSuspect: (key: string) => boolean = () => false,
  ): Promise<UnfinishedContent> {
    const content = new UnfinishedContent(context, label);
    const found: { readonly key: string; readonly sizeBytes: number }[] = [];
    for await (const { key, sizeBytes } of context.store.list(`${context.prefix}backups/${label}/`, { signal }))
      if (PACK.test(key) && !isSuspect(key)) found.push({ key, sizeBytes });
    for (let at = 0; at < found.length; at += READS) {
      const group = found.slice(at, at + READS);
      const opened = await Promise.all(group.map((each) => usable(openPack(context, label, each, signal))));
      for (const [index, pack] of opened.entries())
        if (pack !== undefined) content.#note(pack, group[index]?.sizeBytes ?? 0);
    }
    return content;
  }

  /** Of use without a look at the files; undefined where its packs do not say where it began. */
  get interrupted(): InterruptedBackup | undefined {
    return this.#begun && { label: this.label, begun: this.#begun, plainBytes: this.#plainBytes };
  }

  async find(path: string, signal: AbortSignal | undefined): Promise<BaseMap | undefined> {
    const bytes = Buffer.from(path);
    const builder = new BaseMapBuilder();
    let sizeBytes: number | undefined;
    for (const index of this.#byPath.get(pathHash(bytes)) ?? []) {
      const { frames, content } = await this.#recent.get(index, () => this.#reopen(index, signal));
      for (const [number, { extents, contents }] of content.entries()) {
        for (const { file, fileOffset, sizeBytes: length, frameOffset } of extents)
          if (bytes.equals(file.path)) builder.add(frames[number], fileOffset, length, frameOffset);
        for (const { file, fileOffset, sizeBytes: length, hash } of contents)
          if (bytes.equals(file.path)) builder.addContent(fileOffset, length, hash);
        sizeBytes ??= extents.find(({ file }) => bytes.equals(file.path))?.file.sizeBytes;
      }
    }
    return sizeBytes === undefined ? undefined : builder.build(sizeBytes, this.label);
  }

  #note({ other, content, begun }: OpenPack, sizeBytes: number): void {
    this.#begun ??= begun;
    for (const { extents } of content) for (const extent of extents) this.#plainBytes += extent.sizeBytes;
    const index = this.#packs.push({ other, sizeBytes }) - 1;
    const hashes = new Set(content.flatMap(({ extents }) => extents.map(({ file }) => pathHash(file.path))));
    for (const hash of hashes) this.#byPath.set(hash, [...(this.#byPath.get(hash) ?? []), index]);
  }

  async #reopen(index: number, signal: AbortSignal | undefined): Promise<OpenPack> {
    const pack = this.#packs[index];
    if (pack === undefined) throw damaged('', 'no such pack');
    const { key, line } = pack.other;
    return openPack(this.#context, line.label, { key, sizeBytes: pack.sizeBytes }, signal);
  }
}

/** A pack that cannot be used is stored again, no more. */
async function usable(pack: Promise<OpenPack>): Promise<OpenPack | undefined> {
  try {
    return await pack;
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'NOT_FOUND', 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
    return undefined;
  }
}

function openPack(
  context: EpochContext,
  label: string,
  pack: { readonly key: string; readonly sizeBytes: number },
  signal: AbortSignal | undefined,
): Promise<OpenPack> {
  return withCopies(context.store, pack.key, (store) => openCopy({ ...context, store }, label, pack, signal));
}

async function openCopy(
  context: EpochContext,
  label: string,
  { key, sizeBytes }: { readonly key: string; readonly sizeBytes: number },
  signal: AbortSignal | undefined,
): Promise<OpenPack> {
  const read = (start: number, end: number): Promise<Buffer> => readRange(context.store, key, start, end, signal);
  if (sizeBytes < FOOTER_BYTES) throw damaged(key, 'it is too short');
  const footer = decodeFooter(await read(sizeBytes - FOOTER_BYTES, sizeBytes), sizeBytes, key);
  if (footer.tailBytes > TAIL_LIMIT_BYTES) throw damaged(key, 'its tail is not worth reading');
  const end = await read(footer.tableOffset, sizeBytes - FOOTER_BYTES);
  const tableBytes = footer.tailOffset - footer.tableOffset;
  const [table, tail] = [end.subarray(0, tableBytes), end.subarray(tableBytes)];
  assertSha256(table, footer.tableSha256, key, 'frame table');
  assertSha256(tail, footer.tailSha256, key, 'tail');
  const first = tableBytes === 0 ? footer.tableOffset : Number(table.readBigUInt64LE(0));
  const head = await read(0, first);
  assertSha256(head, footer.headSha256, key, 'header');
  const header = decodeHead(head, 'pack', key);
  const number = header.integer('pack');
  const encryption = encryptionOf(header);
  const sealedKey = encryption?.sealed && encodeSealedKey(encryption.sealed);
  const place = { epoch: context.epoch.number, label, number };
  const line = {
    ...place,
    tableOffset: footer.tableOffset,
    frames: footer.frames,
    tableSha256: footer.tableSha256,
    sealedKey,
  };
  const other = { key, line };
  const content = await contentOf(context, { tail, key, frames: footer.frames, encryption }, signal);
  const frames = decodeTable(table, first, footer.tableOffset, key).map((entry, index) => frameOf(entry, index, other));
  const begun = header.has('begun') ? readBeginning(header.object('begun'), key) : undefined;
  return { other, begun, frames, content };
}

/** The section that tells which files a pack holds; without hashes where they are of another key than ours. */
async function contentOf(
  { keyring }: EpochContext,
  pack: {
    readonly tail: Buffer;
    readonly key: string;
    readonly frames: number;
    readonly encryption: ObjectEncryption | undefined;
  },
  signal: AbortSignal | undefined,
): Promise<readonly PackedFrame[]> {
  const { tail, key, frames, encryption } = pack;
  const section = decodeDirectory(tail, key).find(({ id }) => id === SECTION.packContent);
  if (section === undefined) return [];
  const { id, offset, sizeBytes, sealed } = section;
  let bytes = tail.subarray(offset, offset + sizeBytes);
  if (sealed === true) {
    if (encryption?.salt === undefined) throw damaged(key, 'its header names no salt');
    const index = await keyring.index(encryption.generation, { signal });
    bytes = index.cipher(key, encryption.salt).openSection(id, bytes);
  }
  const content = decodePackContent(bytes, frames, key);
  const ours = (await keyring.writing({ signal }))?.generation;
  return encryption?.generation === ours ? content : content.map(({ extents }) => ({ extents, contents: [] }));
}

function frameOf(entry: TableEntry, number: number, pack: OtherPack): BaseFrame {
  return { ...entry, number, pack, liveBytes: entry.plainBytes };
}
