import { KeyframeError } from '@keyframe/contracts';
import type { ExtentRecord } from '../format/extents.ts';
import type { FramePipeline } from './frame-pipeline.ts';
import type { FileSink, NewFile } from './writer.ts';

/** Refuses content that is not as long as was announced. */
class Meter {
  readonly #file: NewFile;
  done = 0;
  #ended = false;

  constructor(file: NewFile) {
    this.#file = file;
  }

  add(count: number): void {
    if (this.#ended || this.done + count > this.#file.sizeBytes) throw this.#fault(this.done + count);
    this.done += count;
  }

  end(): void {
    if (this.#ended || this.done !== this.#file.sizeBytes) throw this.#fault(this.done);
    this.#ended = true;
  }

  #fault(count: number): KeyframeError {
    const { path, sizeBytes } = this.#file;
    return new KeyframeError('INTERNAL', `${count} bytes came for ${path}, announced were ${sizeBytes}`);
  }
}

/** What big files are written to. */
export interface DataTarget {
  readonly pipeline: FramePipeline;
  /** Takes a range that is all zero. */
  zeros(range: ExtentRecord): void | Promise<void>;
}

const ZEROS = Buffer.alloc(256 << 10);

/** Stops at the first byte that is not zero, so it costs next to nothing for content. */
function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const part = bytes.subarray(at, at + ZEROS.length);
    if (!part.equals(ZEROS.subarray(0, part.length))) return false;
  }
  return true;
}

/** Fills frames with one big file alone: they lie side by side and begin at multiples of the frame size. */
export function dataSink(file: NewFile, ordinal: number, target: DataTarget): FileSink {
  const { pipeline } = target;
  const meter = new Meter(file);
  let buffer: Buffer | undefined;
  let used = 0;
  const waiting: (void | Promise<void>)[] = [];
  const submit = (full: Buffer): void => {
    const extent = { ordinal, fileOffset: meter.done - used, sizeBytes: used, frameOffset: 0 };
    if (isZero(full.subarray(0, used))) waiting.push(target.zeros(extent));
    else {
      pipeline.submit({ role: 'data', buffer: full, plainBytes: used, extents: [extent] });
      buffer = undefined;
    }
    used = 0;
  };
  const pressure = (): void | Promise<void> => {
    const lists = waiting.splice(0).filter((each) => each !== undefined);
    return lists.length === 0 ? pipeline.pressure() : Promise.all(lists).then(() => pipeline.pressure());
  };
  return {
    write: (view) => {
      if (meter.done + view.length > file.sizeBytes) meter.add(view.length);
      for (let at = 0; at < view.length;) {
        buffer ??= pipeline.buffer();
        const count = Math.min(view.length - at, buffer.length - used);
        buffer.set(at === 0 && count === view.length ? view : view.subarray(at, at + count), used);
        at += count;
        used += count;
        meter.add(count);
        if (used === buffer.length) submit(buffer);
      }
      return pressure();
    },
    keep: () => {
      throw new KeyframeError('INTERNAL', 'keeping is not implemented');
    },
    end: () => {
      meter.end();
      if (buffer !== undefined && used > 0) submit(buffer);
      if (buffer !== undefined) pipeline.giveBack(buffer);
      return pressure();
    },
  };
}

/** Lets small files share frames, one behind the other. */
export class BundleFiller {
  readonly #pipeline: FramePipeline;
  #buffer: Buffer | undefined;
  #used = 0;
  #extents: ExtentRecord[] = [];

  constructor(pipeline: FramePipeline) {
    this.#pipeline = pipeline;
  }

  sink(file: NewFile, ordinal: number): FileSink {
    const meter = new Meter(file);
    return {
      write: (view) => {
        const start = meter.done;
        meter.add(view.length);
        this.#append(view, ordinal, start);
        return this.#pipeline.pressure();
      },
      keep: () => {
        throw new KeyframeError('INTERNAL', 'keeping is not implemented');
      },
      end: () => {
        meter.end();
      },
    };
  }

  /** Submits a frame that is not full. */
  flush(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    this.#pipeline.submit({ role: 'bundle', buffer, plainBytes: this.#used, extents: this.#extents });
    this.#buffer = undefined;
    this.#used = 0;
    this.#extents = [];
  }

  #append(view: Uint8Array, ordinal: number, start: number): void {
    for (let at = 0; at < view.length;) {
      this.#buffer ??= this.#pipeline.buffer();
      const count = Math.min(view.length - at, this.#buffer.length - this.#used);
      this.#buffer.set(view.subarray(at, at + count), this.#used);
      this.#note(ordinal, start + at, count);
      at += count;
      this.#used += count;
      if (this.#used === this.#buffer.length) this.flush();
    }
  }

  #note(ordinal: number, fileOffset: number, sizeBytes: number): void {
    const last = this.#extents.at(-1);
    if (last?.ordinal === ordinal && last.fileOffset + last.sizeBytes === fileOffset) {
      this.#extents[this.#extents.length - 1] = { ...last, sizeBytes: last.sizeBytes + sizeBytes };
      return;
    }
    this.#extents.push({ ordinal, fileOffset, sizeBytes, frameOffset: this.#used });
  }
}
