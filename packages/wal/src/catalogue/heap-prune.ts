/**
 * Replays what vacuum and pruning do. Where rows lie in the page does not matter here, so items that are redirected, dead or free
 * just hold no row any more.
 * @see src/include/access/heapam_xlog.h in PostgreSQL; the records changed in 16 and, all of them, in 17
 * @packageDocumentation
 */
import type { PostgresMajor } from '../page-header.ts';
import type { Page } from './heap-redo.ts';

/** Bits of xl_heap_prune's flags since 17. */
const PRUNE = { freezePlans: 1 << 4, redirections: 1 << 5, dead: 1 << 6, unused: 1 << 7 } as const;
const PLAN_BYTES = 12;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function removeEach(page: Page, view: DataView, from: number, count: number, stride = 1): void {
  for (let index = 0; index < count; index++)
    page.file.remove(page.number, view.getUint16(from + index * 2 * stride, true));
}

/** 14 to 16: the numbers of redirections and dead items are in the main data. */
export function redoOldPrune(page: Page, mainData: Uint8Array): void {
  const main = viewOf(mainData);
  const data = viewOf(page.data);
  const redirected = main.getUint16(4, true);
  removeEach(page, data, 0, redirected, 2);
  removeEach(page, data, redirected * 4, Math.floor(data.byteLength / 2) - redirected * 2);
}

/** 14 to 16: dead items become free ones. */
export function redoVacuum(page: Page): void {
  removeEach(page, viewOf(page.data), 0, Math.floor(page.data.length / 2));
}

/** 14 to 16: a plan for each tuple, since 16 plans that many tuples share. */
export function redoFreeze(page: Page, mainData: Uint8Array, major: PostgresMajor): void {
  const data = viewOf(page.data);
  const count = viewOf(mainData).getUint16(4, true);
  if (major >= 16) return freezeByPlans(page, data, { at: 0, count, offsetsAt: count * PLAN_BYTES });
  for (let index = 0; index < count; index++) {
    const at = index * PLAN_BYTES;
    freeze(page, data.getUint16(at + 4, true), {
      xmax: data.getUint32(at, true),
      infomask2: data.getUint16(at + 6, true),
      infomask: data.getUint16(at + 8, true),
    });
  }
}

/** 17 and later: all of it in one kind of record. */
export function redoPrune(page: Page, mainData: Uint8Array): void {
  const flags = viewOf(mainData).getUint8(1);
  const data = viewOf(page.data);
  let at = 0;
  let plans = 0;
  if ((flags & PRUNE.freezePlans) !== 0) {
    plans = data.getUint16(0, true);
    at = 4 + plans * PLAN_BYTES;
  }
  for (const [bit, stride] of [
    [PRUNE.redirections, 2],
    [PRUNE.dead, 1],
    [PRUNE.unused, 1],
  ] as const) {
    if ((flags & bit) === 0) continue;
    const count = data.getUint16(at, true);
    removeEach(page, data, at + 2, count, stride);
    at += 2 + count * 2 * stride;
  }
  if (plans > 0) freezeByPlans(page, data, { at: 4, count: plans, offsetsAt: at });
}

interface FreezePlan {
  readonly xmax: number;
  readonly infomask2: number;
  readonly infomask: number;
}

function freezeByPlans(
  page: Page,
  data: DataView,
  { at, count, offsetsAt }: { readonly at: number; readonly count: number; readonly offsetsAt: number },
): void {
  let offsets = offsetsAt;
  for (let index = 0; index < count; index++) {
    const from = at + index * PLAN_BYTES;
    const plan = {
      xmax: data.getUint32(from, true),
      infomask2: data.getUint16(from + 4, true),
      infomask: data.getUint16(from + 6, true),
    };
    for (let left = data.getUint16(from + 10, true); left > 0; left--, offsets += 2)
      freeze(page, data.getUint16(offsets, true), plan);
  }
}

function freeze(page: Page, offset: number, plan: FreezePlan): void {
  const tuple = page.block.tuples.get(offset);
  if (tuple !== undefined) Object.assign(tuple, plan);
}
