/**
 * What stores charge, as the providers list it in US dollars for one of their cheapest regions (us-east-1, us-central1, East US;
 * locally redundant), in November 2026. Contracts, regions and taxes differ: `keyframe cost --prices FILE` takes your own.
 * Sources: https://aws.amazon.com/s3/pricing, https://cloud.google.com/storage/pricing, https://azure.microsoft.com/pricing/details/storage/blobs
 * @packageDocumentation
 */
import { KeyframeError } from '@keyframe/contracts';

/** What one storage class costs, in US dollars or whatever the table's `currency` says. */
export interface ClassPrice {
  /** A GiB for a month of 730 hours. */
  readonly gibMonth: number;
  /** A thousand writes. */
  readonly writes1000: number;
  /** A thousand reads. */
  readonly reads1000: number;
  /** A GiB read back, where the class charges for it. */
  readonly readGib?: number | undefined;
}

/** Prices by provider and storage class. `*` is any class, or a provider that is not named. */
export interface PriceTable {
  readonly currency: string;
  readonly providers: Readonly<Record<string, Readonly<Record<string, ClassPrice>>>>;
}

const price = (gibMonth: number, writes1000: number, reads1000: number, readGib?: number): ClassPrice =>
  readGib === undefined ? { gibMonth, writes1000, reads1000 } : { gibMonth, writes1000, reads1000, readGib };

export const LIST_PRICES: PriceTable = {
  currency: 'USD',
  providers: {
    aws: {
      STANDARD: price(0.023, 0.005, 0.0004),
      INTELLIGENT_TIERING: price(0.023, 0.005, 0.0004),
      STANDARD_IA: price(0.0125, 0.01, 0.001, 0.01),
      ONEZONE_IA: price(0.01, 0.01, 0.001, 0.01),
      GLACIER_IR: price(0.004, 0.02, 0.01, 0.03),
      GLACIER: price(0.0036, 0.03, 0.0004, 0.01),
      DEEP_ARCHIVE: price(0.00099, 0.05, 0.0004, 0.02),
      '*': price(0.023, 0.005, 0.0004),
    },
    gcp: {
      STANDARD: price(0.02, 0.005, 0.0004),
      NEARLINE: price(0.01, 0.01, 0.001, 0.01),
      COLDLINE: price(0.004, 0.02, 0.01, 0.02),
      ARCHIVE: price(0.0012, 0.05, 0.05, 0.05),
      '*': price(0.02, 0.005, 0.0004),
    },
    azure: {
      Hot: price(0.018, 0.005, 0.0004),
      Cool: price(0.01, 0.01, 0.001, 0.01),
      Cold: price(0.0036, 0.018, 0.01, 0.03),
      Archive: price(0.00099, 0.011, 0.55, 0.02),
      '*': price(0.018, 0.005, 0.0004),
    },
    '*': { '*': price(0, 0, 0) },
  },
};

/** The price of a class; of one that the table does not name, that of the provider's `*`. */
export function priceOf({ providers }: PriceTable, provider: string, storageClass: string): ClassPrice {
  const classes = providers[provider] ?? providers['*'] ?? {};
  return classes[storageClass] ?? classes['*'] ?? price(0, 0, 0);
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads a table of the user's. @throws {KeyframeError} INVALID_OPTION that names the place */
export function parsePrices(text: string, file: string): PriceTable {
  const refuse = (what: string): KeyframeError =>
    new KeyframeError('INVALID_OPTION', `the prices in ${file} cannot be used: ${what}`, {
      hint: 'Begin with the table that `keyframe cost --print-prices` prints.',
    });
  let table: unknown;
  try {
    table = JSON.parse(text);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error));
  }
  if (!isRecord(table) || typeof table['currency'] !== 'string' || !isRecord(table['providers']))
    throw refuse('it needs `currency` and `providers`');
  for (const [provider, classes] of Object.entries(table['providers'])) {
    if (!isRecord(classes)) throw refuse(`providers.${provider} is no map of classes`);
    for (const [name, each] of Object.entries(classes))
      for (const part of ['gibMonth', 'writes1000', 'reads1000'])
        if (!isRecord(each) || typeof each[part] !== 'number' || !(each[part] >= 0))
          throw refuse(`providers.${provider}.${name}.${part} is no number from 0`);
  }
  return table as unknown as PriceTable;
}
