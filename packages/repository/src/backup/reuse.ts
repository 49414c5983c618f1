import type { KeyObject } from 'node:crypto';
import { contentHash, hashingKey } from '../format/content-hash.ts';
import { damaged } from '../objects/damage.ts';
import type { RepositoryTuning } from '../tuning.ts';
import { type BaseFrame, type BaseMap, type BasePiece, isWhole } from './base-map.ts';
import type { FrameReader } from './frame-reader.ts';
import type { NewFile } from './writer.ts';

const MIB = 1 << 20;
/** However small a range is, so many pieces of it are no reason to store it anew. */
const FEW = 4;

/** What decides whether bytes are stored or taken from another backup. */
export interface ReuseContext {
  readonly contentKey: Uint8Array;
  readonly limits: Pick<RepositoryTuning, 'leastLiveShare' | 'mostExtentsPerMiB'>;
  readonly reader: FrameReader;
  /** False: frames of earlier backups can be named, not read. May cost the hash of a passphrase. */
  readonly canRead: () => Promise<boolean>;
  readonly signal: AbortSignal;
  /** What other backups hold of a file, by whose content it is compared; the best first. */
  earlier(file: NewFile): Promise<readonly BaseMap[]>;
}

/** Decides for one backup. */
export class Reuse {
  readonly #context: ReuseContext;
  readonly #contentKey: KeyObject;
  #canRead: boolean | undefined;
  #renewedBytes = 0;
  #unreadBytes = 0;

  constructor(context: ReuseContext) {
    this.#context = context;
    this.#contentKey = hashingKey(context.contentKey);
  }

  /** Undefined until {@link learnCanRead} was called. */
  get canRead(): boolean | undefined {
    return this.#canRead;
  }

  /** To be called where it matters, and not before. */
  async learnCanRead(): Promise<boolean> {
    this.#canRead ??= await this.#context.canRead();
    return this.#canRead;
  }

  /** Bytes that other backups hold in packs that are damaged or gone, and that are stored anew for that. */
  get renewedBytes(): number {
    return this.#renewedBytes;
  }

  /** Bytes that were taken over without a look at the file. */
  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  took(sizeBytes: number): void {
    this.#unreadBytes += sizeBytes;
  }

  /** Counts what of these pieces is stored anew although nothing of it changed. */
  renew(pieces: readonly BasePiece[]): void {
    for (const { frame, sizeBytes } of pieces) if (frame?.pack.isSuspect === true) this.#renewedBytes += sizeBytes;
  }

  /**
   * To be asked of pieces that would be named because their bytes are not at hand.
   * @throws {KeyframeError} CORRUPT when they lie in a pack that is damaged or gone
   */
  assertNamable(pieces: readonly BasePiece[]): void {
    for (const { frame } of pieces)
      if (frame?.pack.isSuspect === true)
        throw damaged(frame.pack.key, 'it is known to be, and nothing may be built on it');
  }

  hash(content: Uint8Array): Buffer {
    return contentHash(this.#contentKey, content);
  }

  earlier(file: NewFile): Promise<readonly BaseMap[]> {
    return this.#context.earlier(file);
  }

  /**
   * Bytes of a frame of which little is still needed are worth storing anew: a restore reads the frame whole. So are those of
   * a frame that no restore can read.
   */
  isWorn({ liveBytes, plainBytes, pack }: BaseFrame): boolean {
    return pack.isSuspect === true || liveBytes < plainBytes * this.#context.limits.leastLiveShare;
  }

  /** Whether a range lies in too many pieces to be built on. */
  isSplit(pieces: readonly BasePiece[], sizeBytes: number): boolean {
    return pieces.length > Math.max(FEW, (sizeBytes / MIB) * this.#context.limits.mostExtentsPerMiB);
  }

  /** Where exactly this content lies already, if it is good to read there. `isCounted`: {@link renew} was told already. */
  match(
    maps: readonly BaseMap[],
    fileOffset: number,
    sizeBytes: number,
    hash: Buffer,
    isCounted = false,
  ): BasePiece[] | undefined {
    let renewed: readonly BasePiece[] = [];
    for (const map of maps) {
      const known = map.hashOf(fileOffset, sizeBytes);
      if (known === undefined || !hash.equals(known)) continue;
      const pieces = map.pieces(fileOffset, fileOffset + sizeBytes);
      if (this.isSound(pieces, fileOffset, sizeBytes)) return pieces;
      if (renewed.length === 0) renewed = pieces;
    }
    if (!isCounted) this.renew(renewed);
    return undefined;
  }

  isSound(pieces: readonly BasePiece[], fileOffset: number, sizeBytes: number): boolean {
    const isWornPiece = ({ frame }: BasePiece): boolean => frame !== undefined && this.isWorn(frame);
    return (
      isWhole(pieces, fileOffset, fileOffset + sizeBytes) &&
      !this.isSplit(pieces, sizeBytes) &&
      !pieces.some(isWornPiece)
    );
  }

  /** Copies a piece of another backup, verified. @throws {KeyframeError} CORRUPT */
  async read({ frame, frameOffset, sizeBytes }: BasePiece, into: Uint8Array): Promise<void> {
    if (frame === undefined) {
      into.fill(0);
      return;
    }
    const plain = await this.#context.reader.read(frame, this.#context.signal);
    into.set(plain.subarray(frameOffset, frameOffset + sizeBytes));
  }
}
