/** Of a content hash, as it is stored. */
const HASH_BYTES = 16;
const ENTRY_BYTES = HASH_BYTES * 2;
const FIRST_ENTRIES = 1 << 12;
/** 64 MiB: windows of 350 GB. Of more, a copy tells no hash, and a later backup stores anew what it cannot recognise. */
const MOST_ENTRIES = 1 << 21;

/**
 * What a content is called under the keys of one repository, by its name under those of another. An open table in one buffer:
 * a map of texts would take four times the memory.
 */
export class ContentHashes {
  #table = Buffer.alloc(FIRST_ENTRIES * ENTRY_BYTES);
  #count = 0;

  get(before: Uint8Array): Buffer | undefined {
    const at = this.#find(before);
    return this.#isFree(at) ? undefined : this.#table.subarray(at + HASH_BYTES, at + ENTRY_BYTES);
  }

  add(before: Uint8Array, after: Uint8Array): void {
    if (this.#count * 4 >= this.#entries * 3 && !this.#grow()) return;
    const at = this.#find(before);
    if (this.#isFree(at)) this.#count += 1;
    this.#table.set(before, at);
    this.#table.set(after, at + HASH_BYTES);
  }

  get #entries(): number {
    return this.#table.length / ENTRY_BYTES;
  }

  /** Offset of the entry, or of the free place where it belongs. The hashes are keyed, so their first bytes are random. */
  #find(before: Uint8Array): number {
    const start = Buffer.from(before.buffer, before.byteOffset, HASH_BYTES).readUInt32LE(0);
    for (let step = 0; ; step += 1) {
      const at = ((start + step) % this.#entries) * ENTRY_BYTES;
      if (this.#isFree(at) || this.#table.compare(before, 0, HASH_BYTES, at, at + HASH_BYTES) === 0) return at;
    }
  }

  /** A hash of zeros is as likely as guessing a key. */
  #isFree(at: number): boolean {
    return this.#table.readBigUInt64LE(at) === 0n && this.#table.readBigUInt64LE(at + 8) === 0n;
  }

  #grow(): boolean {
    if (this.#entries >= MOST_ENTRIES) return false;
    const old = this.#table;
    this.#table = Buffer.alloc(old.length * 2);
    for (let at = 0; at < old.length; at += ENTRY_BYTES) {
      const entry = old.subarray(at, at + ENTRY_BYTES);
      if (entry.readBigUInt64LE(0) === 0n && entry.readBigUInt64LE(8) === 0n) continue;
      this.#table.set(entry, this.#find(entry.subarray(0, HASH_BYTES)));
    }
    return true;
  }
}
