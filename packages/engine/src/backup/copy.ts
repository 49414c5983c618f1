/** What all ways of reading a cluster share: which file is compared with what, and by which rule. @packageDocumentation */
import { hasCode, type Lsn, type TimelineId } from '@keyframe/contracts';
import {
  type BackupEntry,
  type BackupStart,
  createPageInspector,
  type PageInspector,
  parseRelationPath,
  type RelationFile,
} from '@keyframe/postgres';
import type { BackupWriter, BaseFile, BaseFiles, FileSink } from '@keyframe/repository';
import { type StageOptions, warnOf } from '../events.ts';
import { pause } from '../pause.ts';
import { DamagedPages, type ReadPageAgain } from './damaged-pages.ts';
import { CHUNK_BYTES, PAGE_BYTES, type PageFile, PageLane } from './page-lane.ts';
import { isAllVisible } from './marked-pages.ts';
import { KeptRelations, type RelationChanges } from './relation-changes.ts';
import type { SourceFacts } from './source-facts.ts';
import type { WalProof } from './wal-proof.ts';

/** Where the bytes go, and what they are compared with. */
export interface CopyContext {
  readonly writer: BackupWriter;
  readonly source: SourceFacts;
  /** The backup to build on; for a full one to compare content with. */
  readonly base: BaseFiles | undefined;
  /** Given where page LSNs are taken at their word. */
  readonly proof: WalProof | undefined;
  /** What the proof has told so far. */
  readonly changes: RelationChanges;
  readonly readAgain: ReadPageAgain;
}

/** A file of the backup that is being written. */
export interface CopyFile {
  readonly sink: FileSink;
  readonly base: BaseFile | undefined;
  /** Only of the main fork of a relation whose pages are to be judged. */
  readonly pages: PageFile | undefined;
}

/** How long the WAL before the start of the backup may take to be archived before pages that it might tell of are read anew. */
const ARCHIVER_MS = 10_000;
const BETWEEN_LOOKS_MS = 100;

/** The files of one backup on their way. */
export class Copy {
  readonly kept: KeptRelations = new KeptRelations();
  readonly #context: CopyContext;
  readonly #options: StageOptions;
  readonly #inspector: PageInspector = createPageInspector();
  #damaged: DamagedPages | undefined;
  #judges = false;
  #trusts = false;
  /** Blocks by path that were damaged when the base was taken. */
  #spoiled: ReadonlyMap<string, ReadonlySet<number>> = new Map();
  #lanes: PageLane[] = [];
  #isToldOfBase = false;

  constructor(context: CopyContext, options: StageOptions) {
    this.#context = context;
    this.#options = options;
  }

  get writer(): BackupWriter {
    return this.#context.writer;
  }

  /** Undefined where the cluster has no checksums to verify. */
  get damaged(): DamagedPages | undefined {
    return this.#context.source.dataChecksums && this.#judges ? this.#damaged : undefined;
  }

  /**
   * True when stored bytes may differ from those that were read. Without checksums PostgreSQL writes hint bits under the old
   * LSN, so that a page that is kept may lack some.
   */
  get differs(): boolean {
    return (this.#trusts && !this.#context.source.dataChecksums) || (this.#damaged?.replaced ?? 0) > 0;
  }

  /** Settles the rules, before the first file. `lanes` files can be judged side by side. */
  async begin({ startLsn, timeline }: Pick<BackupStart, 'startLsn' | 'timeline'>, lanes: number): Promise<void> {
    const { source, base, proof, changes } = this.#context;
    const damaged = new DamagedPages(this.#context.readAgain, startLsn, this.#options);
    this.#damaged = damaged;
    if (proof !== undefined && base !== undefined && this.#mayTrust(startLsn >= base.record.startLsn, timeline)) {
      // The checkpoint may have taken minutes: what was archived meanwhile need not be doubted later.
      await proof.readOn(startLsn, (fact) => changes.see(fact), { ...this.#options, partly: true });
      await this.#readMarks(proof, startLsn);
      this.#trusts = proof.broken === undefined && !changes.unlogged && this.#knowsDamage(base);
    }
    this.#judges = source.pageBytes === PAGE_BYTES && (source.dataChecksums || this.#trusts);
    const rules = {
      unchangedBelow: this.#trusts ? base?.record.startLsn : undefined,
      verify: source.dataChecksums,
      verifyBelow: startLsn,
      onDamage: damaged.check.bind(damaged),
    };
    this.#lanes = Array.from({ length: lanes }, () => new PageLane(this.#inspector, rules));
  }

  /** A lane, and the part of the inspector's memory that is its own. */
  lane(index: number): { readonly lane: PageLane; readonly chunk: Buffer } {
    const lane = this.#lanes[index];
    if (lane === undefined) throw new RangeError(`lane ${index}`);
    const share = Math.min(CHUNK_BYTES, sizeOfShare(this.#inspector.memory.length, this.#lanes.length));
    return { lane, chunk: this.#inspector.memory.subarray(index * share, (index + 1) * share) };
  }

  /** Opens a file for writing. `sizeBytes` is that of the whole file. */
  async open(entry: BackupEntry, sizeBytes: number = entry.sizeBytes): Promise<CopyFile> {
    const { writer, base, source, changes } = this.#context;
    const before = await this.#before(base, entry.path);
    const { path, mode, modifiedAtSeconds } = entry;
    const sink = writer.file({ path, mode, modifiedAtSeconds, sizeBytes }, before);
    const relation = this.#judges ? parseRelationPath(path) : undefined;
    if (relation?.fork !== 'main') return { sink, base: before, pages: undefined };
    const firstBlock = relation.segment * source.filePages;
    const known = before === undefined ? 0 : Math.floor(before.sizeBytes / PAGE_BYTES);
    const keptBlocks = this.#trusts ? Math.min(firstBlock + known, changes.keptBlocks(relation)) : 0;
    const onKept = (): void => this.kept.add(relation);
    const isDoubtful = keptBlocks > firstBlock ? this.#doubtsOf(path, relation) : undefined;
    return { sink, base: before, pages: { path, sink, firstBlock, keptBlocks, isDoubtful, onKept } };
  }

  /** What the manifest of the base cannot tell any more is read and stored anew. */
  async #before(base: BaseFiles | undefined, path: string): Promise<BaseFile | undefined> {
    try {
      return await base?.find(path, this.#options);
    } catch (error) {
      if (!hasCode(error, 'CORRUPT')) throw error;
      if (!this.#isToldOfBase) warnOf(this.#options)(error);
      this.#isToldOfBase = true;
      return undefined;
    }
  }

  /** What is damaged in the base may be right by now, be it under the same LSN: another disk, or another server. */
  #knowsDamage({ record: { damagedPages = [], damagedPageCount = 0 } }: BaseFiles): boolean {
    const byPath = Map.groupBy(damagedPages, ({ path }) => path);
    this.#spoiled = new Map([...byPath].map(([path, pages]) => [path, new Set(pages.map(({ block }) => block))]));
    return damagedPageCount <= damagedPages.length;
  }

  /** Marks without a new LSN are known from the WAL alone, and replay brings back only those from the start on. */
  async #readMarks(proof: WalProof, startLsn: Lsn): Promise<void> {
    const { source, changes } = this.#context;
    if (source.dataChecksums) return;
    const deadline = performance.now() + ARCHIVER_MS;
    while (!proof.hasRead(startLsn) && proof.mayRead(startLsn) && performance.now() < deadline) {
      await pause(BETWEEN_LOOKS_MS, this.#options.signal);
      await proof.readOn(startLsn, (fact) => changes.see(fact), { ...this.#options, partly: true });
    }
    if (!proof.hasRead(startLsn)) changes.marked.addAll();
  }

  #doubtsOf(path: string, relation: RelationFile): PageFile['isDoubtful'] {
    const spoiled = this.#spoiled.get(path);
    const { source, changes } = this.#context;
    if (source.dataChecksums) return spoiled === undefined ? undefined : (block) => spoiled.has(block);
    return (block, page) =>
      spoiled?.has(block) === true || (isAllVisible(page) && changes.marked.has({ ...relation, block }));
  }

  #mayTrust(isLater: boolean, timeline: TimelineId): boolean {
    const isSame = timeline === this.#context.source.timeline;
    if (isLater && isSame) return true;
    const message = isSame
      ? 'the server is behind the backup to build on'
      : `the server went to timeline ${timeline} as the backup began`;
    this.#options.onEvent?.({ kind: 'warning', message: `${message}: everything is read anew`, hint: undefined });
    return false;
  }
}

const sizeOfShare = (bytes: number, lanes: number): number => Math.floor(bytes / lanes / PAGE_BYTES) * PAGE_BYTES;
