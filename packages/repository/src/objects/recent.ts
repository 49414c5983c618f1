/** Keeps the values that were asked for last. */
export class Recent<Key, Value> {
  readonly #limit: number;
  readonly #values = new Map<Key, Promise<Value>>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The value of a key, loaded unless it is still here. A load that fails is forgotten. */
  get(key: Key, load: () => Promise<Value>): Promise<Value> {
    const value = this.#values.get(key) ?? this.#load(key, load);
    this.#values.delete(key);
    this.#values.set(key, value);
    for (const oldest of this.#values.keys()) {
      if (this.#values.size <= this.#limit) break;
      this.#values.delete(oldest);
    }
    return value;
  }

  /** What is here, the oldest first. */
  values(): Promise<Value>[] {
    return [...this.#values.values()];
  }

  async #load(key: Key, load: () => Promise<Value>): Promise<Value> {
    try {
      return await load();
    } catch (error) {
      this.#values.delete(key);
      throw error;
    }
  }
}
