import { isKeyframeError, KeyframeError } from '@keyframe/contracts';
import type { EpochContext } from '../epoch-context.ts';
import type { WritingKeys } from '../encryption/writing-keys.ts';
import type { Json } from '../format/sealed-json.ts';
import { isPlainPath } from '../objects/damage.ts';
import { putOnce } from '../objects/put-once.ts';
import type { NamedPack } from '../damage/suspect-packs.ts';
import type { Publication } from '../retention/tombstones.ts';
import type { BaseFile } from './base-files.ts';
import { beginningJson } from './beginning.ts';
import type { BaseMap } from './base-map.ts';
import { DataSink } from './data-sink.ts';
import type { EarlierContent } from './earlier-content.ts';
import { Failure } from './failure.ts';
import { type FrameJob, FramePipeline, type FrameRole, type ReadyFrame } from './frame-pipeline.ts';
import { FrameReader } from './frame-reader.ts';
import { ManifestBuilder } from './manifest-builder.ts';
import { ManifestLedger } from './manifest-ledger.ts';
import { ManifestSpool } from './manifest-spool.ts';
import type { ManifestEntry } from './manifest.ts';
import type { PackBuilder } from './pack-builder.ts';
import { type PackSeries, PackStream } from './pack-stream.ts';
import { PackTable } from './pack-table.ts';
import { publishRecord } from './publish-record.ts';
import type { BackupBeginning, BackupFacts, BackupIntent, BackupRecord } from './record.ts';
import { removeUnlessResumable } from './remove.ts';
import { SharedFrames } from './references.ts';
import { Reuse } from './reuse.ts';
import { BundleFiller, SmallSink } from './small-sink.ts';
import { StoredBaseFile } from './stored-base.ts';
import { type DescribedBackup, encodeDescription } from './record-json.ts';
import type {
  BackupWriter,
  FileSink,
  InterruptedBackup,
  NewEntry,
  NewFile,
  NewSymlink,
  PreparedBackup,
} from './writer.ts';

/** Keys of one backup. */
export interface BackupKeys {
  /** Undefined where nothing is encrypted. */
  readonly keys: WritingKeys | undefined;
  /** Whether frames of earlier backups can be read here. */
  readonly canRead: () => Promise<boolean>;
}

/** A backup whose intent is written. */
export class BackupJob implements BackupWriter {
  readonly label: string;
  readonly #context: EpochContext;
  readonly #intent: BackupIntent;
  readonly #prefix: string;
  readonly #failure: Failure;
  readonly #series: PackSeries;
  readonly #packs: Readonly<Record<FrameRole | 'manifest', PackStream>>;
  readonly #pipeline: FramePipeline;
  readonly #bundle: BundleFiller;
  readonly #manifest: ManifestBuilder;
  readonly #ledger: ManifestLedger;
  readonly #shared: SharedFrames;
  readonly #reuse: Reuse;
  readonly #earlier: EarlierContent | undefined;
  readonly #isEncrypted: boolean;
  readonly #written = { plainBytes: 0, storedBytes: 0, objects: 0, files: 0 };
  #beginning: BackupBeginning | undefined;
  #openFiles = 0;
  #publishTried = false;

  constructor(
    context: EpochContext,
    intent: BackupIntent,
    earlier: EarlierContent | undefined,
    { keys, canRead }: BackupKeys,
    signal: AbortSignal | undefined,
  ) {
    const { compressor, tuning, frameBytes, store } = context;
    this.label = intent.label;
    this.#context = context;
    this.#intent = intent;
    this.#earlier = earlier;
    this.#isEncrypted = keys !== undefined;
    this.#prefix = `${context.prefix}backups/${intent.label}/`;
    const failure = new Failure(signal);
    this.#failure = failure;
    const place = { repository: context.repositoryId, cluster: context.cluster, epoch: context.epoch.number };
    const common = { ...place, backup: intent.label };
    const header = (): Record<string, Json> =>
      this.#beginning === undefined ? common : { ...common, begun: beginningJson(this.#beginning) };
    const stored = (sizeBytes: number): void => this.#count(sizeBytes);
    const table = new PackTable(context.epoch.number);
    this.#series = { store, prefix: this.#prefix, header, frameBytes, failure, table, stored };
    this.#packs = {
      bundle: new PackStream(this.#series, 'bundle', tuning.bundlePackBytes, keys),
      data: new PackStream(this.#series, 'data', tuning.packBytes, keys),
      // What is spilled there is a manifest's bytes, encrypted already.
      manifest: new PackStream(this.#series, 'manifest', tuning.bundlePackBytes),
    };
    const pipeline = { compressor, inFlight: tuning.framesInFlight, frameBytes, failure };
    this.#pipeline = new FramePipeline({ ...pipeline, place: (job, frame) => this.#place(job, frame) });
    this.#bundle = new BundleFiller(this.#pipeline);
    const target = { store, packs: this.#packs.manifest, pieceBytes: frameBytes, signal: failure.signal };
    const spool = new ManifestSpool(target, tuning.manifestBufferBytes);
    const encryption = keys?.indexed(`${this.#prefix}manifest`);
    const chunkBytes = tuning.manifestChunkBytes;
    this.#manifest = new ManifestBuilder({ compressor, spool, chunkBytes, header: common, encryption });
    this.#ledger = new ManifestLedger(this.#manifest, table);
    this.#shared = new SharedFrames(this.#ledger);
    this.#reuse = new Reuse({
      contentKey: keys?.index.contentKey ?? context.contentKey,
      canRead,
      limits: tuning,
      reader: new FrameReader(context),
      signal: failure.signal,
      earlier: async (file) => earlier?.find(file, failure.signal) ?? [],
    });
  }

  get written(): { readonly plainBytes: number; readonly storedBytes: number; readonly objects: number } {
    return this.#written;
  }

  get takenOver(): readonly string[] {
    // What the base took over before is its own by now.
    const added = this.#series.table.lines().filter(({ label, number }) => !this.#earlier?.inBase(label, number));
    const labels = new Set(added.map(({ label }) => label));
    return (this.#intent.resumes ?? []).filter((label) => labels.has(label));
  }

  get interrupted(): readonly InterruptedBackup[] {
    return this.#earlier?.interrupted ?? [];
  }

  began(beginning: BackupBeginning): void {
    this.#beginning = beginning;
  }

  directory(entry: NewEntry): void | Promise<void> {
    return this.#checked(this.#entry({ ...entry, type: 'directory', sizeBytes: 0 }));
  }

  symlink(entry: NewSymlink): void | Promise<void> {
    return this.#checked(this.#entry({ ...entry, type: 'symlink', sizeBytes: 0 }));
  }

  file(entry: NewFile, base?: BaseFile): FileSink {
    const ordinal = this.#manifest.nextOrdinal;
    const added = this.#entry({ ...entry, type: 'file' });
    const sink = this.#sink(entry, ordinal, mapOf(base));
    this.#openFiles += 1;
    return {
      write: (view) => {
        this.#failure.check();
        return sink.write(view);
      },
      keep: (sizeBytes, view) => {
        this.#failure.check();
        return sink.keep(sizeBytes, view);
      },
      stored: () => {
        this.#failure.check();
        return sink.stored();
      },
      take: (range) => {
        this.#failure.check();
        return sink.take(range);
      },
      distrust: (sizeBytes) => sink.distrust(sizeBytes),
      end: () => {
        this.#failure.check();
        const ended = sink.end();
        this.#openFiles -= 1;
        this.#written.files += 1;
        this.#written.plainBytes += entry.sizeBytes;
        return added === undefined ? ended : this.#checked(Promise.all([added, ended]).then(() => undefined));
      },
    };
  }

  async finish(given: BackupFacts | Promise<BackupFacts>): Promise<PreparedBackup> {
    const settled = Promise.resolve(given);
    settled.catch(() => undefined); // Awaited below, unless the packs fail first.
    if (this.#openFiles > 0) throw new KeyframeError('INTERNAL', `${this.#openFiles} files of the backup are open`);
    this.#bundle.flush();
    await this.#pipeline.drained();
    await this.#shared.flush();
    const facts = await settled;
    await this.#writeLists(facts);
    const last = await this.#lastPack();
    const { table } = this.#series;
    const described = this.#describe(facts, table.own);
    const { bytes, root } = await this.#manifest.finish(table.lines(), encodeDescription(described));
    const manifest = {
      key: `${this.#prefix}manifest`,
      sizeBytes: bytes.sizeBytes,
      sha256: bytes.sha256.toString('hex'),
      root: root.toString('hex'),
      copy: { key: last.key, offset: last.manifestOffset },
    };
    await this.#upload(last.key, last.sourceWithManifest(bytes));
    await this.#upload(manifest.key, bytes);
    return { record: { ...described, storedBytes: this.#written.storedBytes, manifest } };
  }

  async publish({ record }: PreparedBackup): Promise<BackupRecord> {
    this.#failure.check();
    await publishRecord(this.#context, record, this.#publication(), {
      signal: this.#failure.signal,
      onTry: () => (this.#publishTried = true),
    });
    return record;
  }

  async abandon(reason: unknown): Promise<void> {
    this.#failure.fail(reason);
    await this.#pipeline.settled();
    for (const stream of Object.values(this.#packs)) await stream.settled();
    // A publication whose answer was lost may have happened: then every object is needed.
    if (this.#publishTried) return;
    try {
      await removeUnlessResumable(this.#context, this.#prefix, undefined);
    } catch (error) {
      if (!isKeyframeError(error)) throw error; // else it stays listed as unfinished, which harms nobody
    }
  }

  #entry(entry: Omit<ManifestEntry, 'ordinal'>): Promise<void> | undefined {
    this.#failure.check();
    if (!isPlainPath(entry.path)) throw new KeyframeError('INTERNAL', `${JSON.stringify(entry.path)} is no plain path`);
    const added = this.#manifest.entry({ ...entry, ordinal: this.#manifest.nextOrdinal });
    return added === undefined ? undefined : this.#failure.watch(added);
  }

  /** Work that is watched already, for a caller who wants to know. */
  #checked(work: Promise<void> | undefined): Promise<void> | undefined {
    return work?.then(() => this.#failure.check());
  }

  #sink(entry: NewFile, ordinal: number, base: BaseMap | undefined): FileSink {
    const { tuning, frameBytes } = this.#context;
    const file = { ordinal, path: entry.rawPath ?? Buffer.from(entry.path), sizeBytes: entry.sizeBytes };
    const common = { pipeline: this.#pipeline, reuse: this.#reuse };
    return entry.sizeBytes <= tuning.bundleLimitBytes
      ? new SmallSink(entry, file, base, { ...common, bundle: this.#bundle, references: this.#shared })
      : new DataSink(entry, file, base, { ...common, frameBytes, references: this.#ledger });
  }

  async #place(job: FrameJob, frame: ReadyFrame): Promise<void> {
    const content = { extents: job.extents, contents: frame.contents };
    const placed = await this.#packs[job.role].append(frame.payload, job.plainBytes, content);
    await this.#ledger.stored(job, frame, placed);
  }

  async #writeLists(facts: BackupFacts): Promise<void> {
    await this.#manifest.closeLists();
    await this.#manifest.verbatim('serverManifest', facts.serverManifest);
    await this.#manifest.verbatim('backupLabel', Buffer.from(facts.backupLabel));
    if (facts.tablespaceMap !== undefined)
      await this.#manifest.verbatim('tablespaceMap', Buffer.from(facts.tablespaceMap));
  }

  /** This backup with every pack it needs. */
  #publication(): Publication & { readonly packs: readonly NamedPack[] } {
    const { epoch } = this.#context;
    const packs = this.#series.table.lines().map((line) => ({
      epoch: line.epoch === 0 ? epoch.number : line.epoch,
      label: line.label === '' ? this.label : line.label,
      number: line.number,
      tableOffset: line.tableOffset,
      frames: line.frames,
    }));
    return { epoch: epoch.number, label: this.label, packs };
  }

  /** Uploads all packs but one, which then carries the copy of the manifest. */
  async #lastPack(): Promise<PackBuilder> {
    const { bundle, data } = this.#packs;
    if (bundle.current !== undefined) await data.close();
    const stream = data.current === undefined ? bundle : data;
    const last = stream.current ?? (await stream.begin());
    this.#series.table.close(last.index, last.line());
    await bundle.settled();
    await data.settled();
    this.#failure.check();
    return last;
  }

  #describe(facts: BackupFacts, packs: number): DescribedBackup {
    const { serverManifest: _, tablespaceMap: __, damagedPages, ...rest } = facts;
    // The record is readable to whoever sees the store: names of tables must not be.
    const named = this.#isEncrypted ? damagedPages?.map(({ path, block }) => ({ path, block })) : damagedPages;
    const { cluster, epoch } = this.#context;
    const { label, type, method, parent, tool } = this.#intent;
    const place = { cluster, epoch: epoch.number, systemIdentifier: epoch.systemIdentifier };
    const { files, plainBytes } = this.#written;
    const built = parent === undefined ? {} : { parent };
    const { renewedBytes, unreadBytes } = this.#reuse;
    const renewed = renewedBytes === 0 ? {} : { renewedBytes };
    const unread = unreadBytes === 0 ? {} : { unreadBytes };
    const content = { files, sizeBytes: plainBytes, packs, ...this.#ledger.figures, ...renewed, ...unread };
    const damaged = named === undefined ? {} : { damagedPages: named };
    return { format: 1, label, type, method, ...built, ...place, ...rest, ...damaged, ...content, tool };
  }

  async #upload(key: string, source: ReturnType<PackBuilder['source']>): Promise<void> {
    this.#failure.check();
    await putOnce(this.#context.store, key, source, this.#failure.signal);
    this.#count(source.sizeBytes ?? 0);
  }

  #count(sizeBytes: number): void {
    this.#written.storedBytes += sizeBytes;
    this.#written.objects += 1;
  }
}

function mapOf(base: BaseFile | undefined): BaseMap | undefined {
  if (base === undefined || base instanceof StoredBaseFile) return base?.map;
  throw new KeyframeError('INTERNAL', `${base.path} is no file of a base`);
}
