/** Whether an upload whose answer was lost took place. @packageDocumentation */
import { randomUUID } from 'node:crypto';
import { hasCode, KeyframeError, type ObjectInfo, type PutOptions } from '@keyframe/contracts';
import { isUnsettled } from './faults.ts';

/** One upload. */
export interface MarkedPut {
  readonly key: string;
  readonly how: PutOptions;
  /** Stores the object, with `mark` among its metadata. */
  readonly attempt: (mark: string) => Promise<ObjectInfo>;
  /** What lies there now, and the mark that it carries. */
  readonly look: () => Promise<{ readonly info: ObjectInfo; readonly mark: string | undefined } | undefined>;
}

/** More keys than this without an answer are forgotten again: then a conditional upload fails as it would without us. */
const REMEMBERED = 1_000;

/**
 * Every upload carries a mark of its own. When the connection breaks after the request was sent, the object is looked at:
 * with our mark the upload took place. When it cannot be looked at, the next upload of that key is: refused because an
 * object is there, it was the one before that put it there.
 */
export class LostAnswers {
  readonly #marks = new Map<string, readonly string[]>();

  /** @throws {KeyframeError} what `attempt` throws, ALREADY_EXISTS */
  async put({ key, how, attempt, look }: MarkedPut): Promise<ObjectInfo> {
    const mark = randomUUID();
    const earlier = this.#marks.get(key) ?? [];
    try {
      const info = await attempt(mark);
      this.#marks.delete(key);
      return info;
    } catch (error) {
      const unsettled = isUnsettled(error);
      if (!unsettled && (earlier.length === 0 || !hasCode(error, 'ALREADY_EXISTS', 'CONFLICT'))) throw error;
      if (unsettled) this.#remember(key, [...earlier, mark]);
      // Its own fault says no more than that nothing is known, which `error` does already.
      const found = await look().catch(() => undefined);
      if (found?.mark !== undefined && [...earlier, mark].includes(found.mark)) {
        this.#marks.delete(key);
        return found.info;
      }
      if (unsettled && found !== undefined && how.ifAbsent === true)
        throw new KeyframeError('ALREADY_EXISTS', `object '${key}' exists`, { cause: error, details: { key } });
      throw error;
    }
  }

  #remember(key: string, marks: readonly string[]): void {
    this.#marks.delete(key);
    this.#marks.set(key, marks);
    const [oldest] = this.#marks.keys();
    if (this.#marks.size > REMEMBERED && oldest !== undefined) this.#marks.delete(oldest);
  }
}
