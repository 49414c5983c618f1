/** What a repository holds, how it grows, and what that costs. @packageDocumentation */
import type { Abortable, Store } from '@keyframe/contracts';
import { type KeyKind, kindOfKey } from '@keyframe/repository';
import { priceOf, type PriceTable } from './prices.ts';

const GIB = 1024 ** 3;
const DAY_MS = 86_400_000;
const MONTH_DAYS = 30;
/** Growth is unexpected when a week brought more than this many times what an average one of the weeks before did. */
const UNEXPECTED = 2;

/** Objects of one kind in one class of one store. */
export interface CostLine {
  readonly store: string;
  readonly kind: KeyKind;
  readonly storageClass: string;
  readonly objects: number;
  readonly bytes: number;
  readonly monthly: number;
}

/** What was written, of what is still there. */
export interface Growth {
  /** Bytes a day over the last thirty days, or over as many as there are. */
  readonly bytesPerDay: number;
  readonly writesPerMonth: number;
  readonly lastWeekBytes: number;
  /** An average week of the four before; `undefined` while the repository is younger than two weeks. */
  readonly weekBeforeBytes: number | undefined;
  /** `repository.growth`: the last week brought far more than those before. */
  readonly unexpected: boolean;
}

/** What the repository costs. */
export interface CostReport {
  readonly currency: string;
  readonly lines: readonly CostLine[];
  readonly bytes: number;
  readonly monthly: number;
  readonly monthlyWrites: number;
  readonly growth: Growth;
  /** What it will hold and cost, when it grows as in the last thirty days and expires as the retention says. */
  readonly forecast: ReadonlyArray<{ readonly days: number; readonly bytes: number; readonly monthly: number }>;
}

/** What is counted. */
export interface CostContext {
  readonly stores: readonly { readonly name: string; readonly store: Store }[];
  readonly prices: PriceTable;
  /** Bytes that an expiry would free that many days from now, of what is there today. */
  readonly freedIn: (days: number) => Promise<number>;
  readonly now: () => Date;
}

interface Seen {
  readonly age: number;
  readonly bytes: number;
}

/** Lists every store once. @throws {KeyframeError} ACCESS_DENIED, UNAVAILABLE */
export async function reckonCost(
  { stores, prices, freedIn, now }: CostContext,
  options: Abortable & { readonly onObjects?: (objects: number) => void } = {},
): Promise<CostReport> {
  const lines = new Map<string, CostLine>();
  const seen: Seen[] = [];
  const nowMs = now().getTime();
  let [monthlyWrites, objects] = [0, 0];
  for (const [at, { name, store }] of stores.entries()) {
    const provider = store.location?.provider ?? '';
    for await (const { key, sizeBytes, modifiedAt, storageClass = '' } of store.list('', options)) {
      const kind = kindOfKey(key);
      const id = `${name}\0${kind}\0${storageClass}`;
      const line = lines.get(id) ?? { store: name, kind, storageClass, objects: 0, bytes: 0, monthly: 0 };
      const { gibMonth, writes1000 } = priceOf(prices, provider, storageClass);
      lines.set(id, {
        ...line,
        objects: line.objects + 1,
        bytes: line.bytes + sizeBytes,
        monthly: line.monthly + (sizeBytes / GIB) * gibMonth,
      });
      const age = (nowMs - modifiedAt.getTime()) / DAY_MS;
      // Every store holds everything: growth is told of one of them.
      if (at === 0) seen.push({ age, bytes: sizeBytes });
      if (age < MONTH_DAYS) monthlyWrites += writes1000 / 1000;
      options.onObjects?.((objects += 1));
    }
  }
  const all = [...lines.values()].toSorted((one, other) => other.bytes - one.bytes);
  const [bytes, monthly] = [sum(all, (line) => line.bytes), sum(all, (line) => line.monthly)];
  const growth = growthOf(seen);
  const forecast = [];
  for (const days of [30, 90, 365]) {
    const then = Math.max(0, bytes + stores.length * (growth.bytesPerDay * days - (await freedIn(days))));
    forecast.push({ days, bytes: then, monthly: bytes === 0 ? 0 : (monthly * then) / bytes });
  }
  return { currency: prices.currency, lines: all, bytes, monthly, monthlyWrites, growth, forecast };
}

function growthOf(seen: readonly Seen[]): Growth {
  const oldest = seen.reduce((most, { age }) => Math.max(most, age), 0);
  const within = (from: number, to: number): Seen[] => seen.filter(({ age }) => age >= from && age < to);
  const month = within(0, MONTH_DAYS);
  const lastWeekBytes = sum(within(0, 7), ({ bytes }) => bytes);
  const weeks = Math.min(4, (oldest - 7) / 7);
  const weekBeforeBytes = weeks < 1 ? undefined : sum(within(7, 35), ({ bytes }) => bytes) / weeks;
  return {
    bytesPerDay: sum(month, ({ bytes }) => bytes) / Math.min(MONTH_DAYS, Math.max(1, oldest)),
    writesPerMonth: month.length,
    lastWeekBytes,
    weekBeforeBytes,
    unexpected: weekBeforeBytes !== undefined && lastWeekBytes > UNEXPECTED * weekBeforeBytes,
  };
}

const sum = <Item>(items: readonly Item[], of: (item: Item) => number): number =>
  items.reduce((total, item) => total + of(item), 0);
