import { KeyframeError, type Lsn } from '@keyframe/contracts';
import type { PageCounts, PageInspector, PageQuestion } from './page-state.ts';
import { PAGE_WASM } from './generated-page-wasm.ts';

const PAGE_BYTES = 8192;
const WASM_PAGE_BYTES = 65_536;
/** States of one call lie at the start of the memory, pages behind. */
const PAGES_AT = WASM_PAGE_BYTES;
const MEMORY_BYTES = 4 << 20;
/** Pages judged by one call: what was copied in is then still in the processor's cache. The module takes 1023. */
const PAGES_A_CALL = 64;
const EVERYTHING: Lsn = 0xff_ff_ff_ff_ff_ff_ff_ffn as Lsn;
const NOTHING: Lsn = 0n as Lsn;
/** 16 TiB: more WAL than any server writes while a backup is taken. */
const LONGEST_BACKUP_WAL = 1n << 44n;

/** What wasm/page.ts exports. */
interface PageModule {
  checksum(page: number, block: number): number;
  inspect(
    pages: number,
    count: number,
    states: number,
    firstBlock: number,
    unchangedBelow: bigint,
    verify: number,
    verifyBelow: bigint,
    writtenBelow: bigint,
  ): number;
}

/** The part of the WebAssembly interface used here; it is in none of the type libraries of a program without a browser. */
interface WebAssemblyApi {
  readonly Memory: new (limits: { readonly initial: number; readonly maximum: number }) => {
    readonly buffer: ArrayBuffer;
  };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

let compiled: object | undefined;

/** Makes an inspector of pages, with 4 MiB of memory of its own. */
export function createPageInspector(): PageInspector {
  const api: WebAssemblyApi = Reflect.get(globalThis, 'WebAssembly');
  compiled ??= new api.Module(Buffer.from(PAGE_WASM, 'base64'));
  const size = (PAGES_AT + MEMORY_BYTES) / WASM_PAGE_BYTES;
  const wasmMemory = new api.Memory({ initial: size, maximum: size });
  const module = new api.Instance(compiled, { env: { memory: wasmMemory } }).exports as PageModule;
  return new WasmInspector(module, wasmMemory.buffer);
}

class WasmInspector implements PageInspector {
  readonly memory: Buffer;
  readonly #module: PageModule;
  readonly #states: Uint8Array;

  constructor(module: PageModule, buffer: ArrayBuffer) {
    this.#module = module;
    this.memory = Buffer.from(buffer, PAGES_AT, MEMORY_BYTES);
    this.#states = new Uint8Array(buffer, 0, PAGES_A_CALL);
  }

  inspect(pages: Uint8Array, question: PageQuestion): PageCounts {
    const { firstBlock, verify, states, unchangedBelow = NOTHING, verifyBelow } = question;
    const count = pages.length / PAGE_BYTES;
    if (!Number.isInteger(count) || states.length < count)
      throw new KeyframeError('INVALID_OPTION', `${pages.length} bytes are no whole pages, or more than states`, {
        hint: 'Pass whole pages of 8192 bytes and one state for each.',
      });
    // An LSN is below 2^64 - 1: no WAL could follow it.
    const judgedBelow = verifyBelow ?? EVERYTHING;
    const writtenBelow = question.writtenBelow ?? BigInt.asUintN(64, judgedBelow + LONGEST_BACKUP_WAL);
    const limits = [judgedBelow, writtenBelow > judgedBelow ? writtenBelow : EVERYTHING] as const;
    const inPlace = pages.buffer === this.memory.buffer && pages.byteOffset >= PAGES_AT;
    const counts = { unchanged: 0, zero: 0, damaged: 0 };
    for (let page = 0; page < count; page += PAGES_A_CALL) {
      const some = Math.min(PAGES_A_CALL, count - page);
      const start = page * PAGE_BYTES;
      if (!inPlace) this.memory.set(pages.subarray(start, start + some * PAGE_BYTES));
      const at = inPlace ? pages.byteOffset + start : PAGES_AT;
      const block = firstBlock + page;
      const found = this.#module.inspect(at, some, 0, block, unchangedBelow, Number(verify), ...limits);
      states.set(some === PAGES_A_CALL ? this.#states : this.#states.subarray(0, some), page);
      counts.unchanged += found & 0x3ff;
      counts.zero += (found >>> 10) & 0x3ff;
      counts.damaged += (found >>> 20) & 0x3ff;
    }
    return counts;
  }

  checksum(page: Uint8Array, block: number): number {
    if (page.length !== PAGE_BYTES)
      throw new KeyframeError('INVALID_OPTION', `a page of ${page.length} bytes`, {
        hint: 'Pass one page of 8192 bytes.',
      });
    this.memory.set(page);
    return this.#module.checksum(PAGES_AT, block);
  }
}
