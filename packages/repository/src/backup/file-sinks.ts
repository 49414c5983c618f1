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

/** Fills frames with one big file alone, so that its frames lie side by side and begin at multiples of the frame size. */
export function dataSink(file: NewFile, ordinal: number, pipeline: FramePipeline): FileSink {
  const meter = new Meter(file);
  let buffer: Buffer | undefined;
  let used = 0;
  const submit = (full: Buffer): void => {
    const extent = { ordinal, fileOffset: meter.done - used, sizeBytes: used, frameOffset: 0 };
    pipeline.submit({ role: 'data', buffer: full, plainBytes: used, extents: [extent] });
    buffer = undefined;
    used = 0;
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
      return pipeline.pressure();
    },
    end: () => {
      meter.end();
      if (buffer !== undefined) submit(buffer);
      return pipeline.pressure();
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
