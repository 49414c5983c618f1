import type { RelationId } from '../facts.ts';
import type { ChangedBlocks, RelationEffect } from './segment-index.ts';
import { isInitialCatalogue } from './segment-index.ts';
import type { RelationFlags, WasmWalker } from './walker.ts';

/** What one transaction did, in the walker's memory. */
export interface FoundEffects {
  /** Address of the first effect; 0 for none. To be released. */
  readonly first: number;
  readonly count: number;
  readonly topXid: number;
  /** LSN of its first record; 0 without effects. */
  readonly firstLsn: number;
}

/** Fields of an effect, in words. */
const EFFECT = { relation: 0, inserted: 1, updated: 2, deleted: 3, pages: 4, next: 6 } as const;
/** Words of an effect that make two transactions alike. */
export const SHAPE_WORDS = 5;
const TWO_32 = 2 ** 32;

const compareRelations = (a: RelationId, b: RelationId): number =>
  a.database - b.database || a.relfilenode - b.relfilenode || a.tablespace - b.tablespace;

/** Reads what the walker counted: of transactions, of a segment, and the pages that changed. */
export class OpenEffects {
  readonly #walker: WasmWalker;
  readonly #words: Uint32Array;
  readonly #relations: RelationId[] = [];
  readonly #found: number;
  readonly #relationsAt: number;
  readonly #relationWords: number;
  /** Blocks taken out of the walker so far, by relation * 4 + fork. */
  readonly #blocks = new Map<number, Uint32Array[]>();

  constructor(walker: WasmWalker) {
    this.#walker = walker;
    this.#words = walker.words;
    this.#found = walker.number('FOUND') / 4;
    this.#relationsAt = walker.number('RELATIONS') / 4;
    this.#relationWords = walker.number('RELATION_BYTES') / 4;
  }

  /** Notes a relation under its number; `tells`: records that name it are to be seen. */
  met(relation: RelationId, tells: boolean): RelationFlags {
    this.#relations.push(relation);
    if (tells) return 3;
    return isInitialCatalogue(relation) ? 2 : 0;
  }

  /** Asks again which relations are followed. */
  mark(wants: (relation: RelationId) => boolean): void {
    for (const [index, relation] of this.#relations.entries()) {
      const at = this.#relationsAt + index * this.#relationWords + 3;
      // What was a catalogue once stays none of people's tables.
      this.#words[at] = (Number(this.#words[at]) & 2) | (wants(relation) ? 3 : 0);
    }
  }

  /** Takes a transaction's effects out of the count. */
  finish(xid: number): FoundEffects {
    const first = this.#walker.walker.finish(xid);
    const words = this.#words;
    const at = this.#found;
    const firstLsn = Number(words[at + 2]) + Number(words[at + 3]) * TWO_32;
    return { first, count: Number(words[at]), topXid: Number(words[at + 1]), firstLsn };
  }

  release(first: number): void {
    if (first !== 0) this.#walker.walker.release(first);
  }

  /** What makes two transactions alike, in words. */
  shape(first: number, count: number): Uint32Array {
    const words = this.#words;
    const shape = new Uint32Array(count * SHAPE_WORDS);
    let to = 0;
    for (let at = first / 4; at !== 0; at = Number(words[at + EFFECT.next]) / 4, to += SHAPE_WORDS)
      shape.set(words.subarray(at, at + SHAPE_WORDS), to);
    return shape;
  }

  /** What such a shape says. */
  tablesOf(shape: Uint32Array): RelationEffect[] {
    const tables = new Map<number, RelationEffect>();
    for (let at = 0; at < shape.length; at += SHAPE_WORDS) {
      const index = Number(shape[at]);
      const before = tables.get(index);
      tables.set(index, {
        relation: this.#relation(index),
        // A withdrawal whose insertion came before the lens did takes back what was not counted.
        inserted: Math.max(0, Number(shape[at + 1]) | 0) + (before?.inserted ?? 0),
        updated: Number(shape[at + 2]) + (before?.updated ?? 0),
        deleted: Number(shape[at + 3]) + (before?.deleted ?? 0),
        pages: Number(shape[at + 4]) + (before?.pages ?? 0),
      });
    }
    return [...tables.values()].toSorted((a, b) => compareRelations(a.relation, b.relation));
  }

  /** What was done to rows since the segment began. */
  segment(): RelationEffect[] {
    const effects: RelationEffect[] = [];
    for (const [index, relation] of this.#relations.entries()) {
      const at = this.#relationsAt + index * this.#relationWords + 4;
      const [inserted = 0, updated = 0, deleted = 0, pages = 0] = this.#words.subarray(at, at + 4);
      // A withdrawal may stand in another segment than what it withdraws.
      if (pages > 0) effects.push({ relation, inserted: inserted | 0, updated, deleted, pages });
    }
    return effects.toSorted((a, b) => compareRelations(a.relation, b.relation));
  }

  /** Empties the walker's set of changed blocks. */
  gatherBlocks(): void {
    const walker = this.#walker;
    const at = walker.number('BLOCKS') / 4;
    const end = at + walker.number('BLOCK_CAPACITY') * 2;
    const found = new Map<number, number[]>();
    for (let slot = at; slot < end; slot += 2) {
      const owner = Number(this.#words[slot + 1]);
      if (owner === 0) continue;
      const blocks = found.get(owner - 1);
      if (blocks === undefined) found.set(owner - 1, [Number(this.#words[slot])]);
      else blocks.push(Number(this.#words[slot]));
    }
    for (const [owner, blocks] of found) {
      const pieces = this.#blocks.get(owner);
      if (pieces === undefined) this.#blocks.set(owner, [Uint32Array.from(blocks)]);
      else pieces.push(Uint32Array.from(blocks));
    }
    walker.walker.clearBlocks();
  }

  /** The pages that changed since the last call. */
  takeBlocks(): ChangedBlocks[] {
    this.gatherBlocks();
    const changed: ChangedBlocks[] = [];
    for (const [owner, pieces] of this.#blocks) {
      const sorted = new Uint32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
      let at = 0;
      for (const piece of pieces) {
        sorted.set(piece, at);
        at += piece.length;
      }
      sorted.sort();
      const blocks = sorted.filter((block, index) => index === 0 || block !== sorted[index - 1]);
      changed.push({ relation: this.#relation(owner >>> 2), fork: owner & 3, blocks });
    }
    this.#blocks.clear();
    return changed.toSorted((a, b) => compareRelations(a.relation, b.relation) || a.fork - b.fork);
  }

  /** Xids of transactions that have not ended. */
  openXids(): number[] {
    const walker = this.#walker;
    const xids: number[] = [];
    if (walker.number('transactions') === 0) return xids;
    const words = walker.number('XID_BYTES') / 4;
    const at = walker.number('XIDS') / 4;
    const end = at + walker.number('XID_CAPACITY') * words;
    for (let slot = at; slot < end; slot += words) if (this.#words[slot] !== 0) xids.push(Number(this.#words[slot]));
    return xids.toSorted((a, b) => a - b);
  }

  /** Puts back what a transaction had done when the state was taken. */
  restore(xid: number, topXid: number, firstLsn: number, tables: readonly RelationEffect[]): void {
    const { walker } = this.#walker;
    const low = firstLsn % TWO_32;
    const high = Math.floor(firstLsn / TWO_32);
    for (const { relation, inserted, updated, deleted, pages } of tables) {
      const index = walker.findRelation(relation.tablespace, relation.database, relation.relfilenode) >>> 0;
      const at = walker.findEffect(xid, index, low, high) / 4;
      if (at > 0) this.#words.set([inserted, updated, deleted, pages], at + 1);
    }
    if (topXid !== 0) walker.noteTop(xid, topXid, low, high);
  }

  #relation(index: number): RelationId {
    return this.#relations[index] ?? { tablespace: 0, database: 0, relfilenode: 0 };
  }
}
