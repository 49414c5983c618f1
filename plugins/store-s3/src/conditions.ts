import { Readable } from 'node:stream';
import { hasCode } from '@keyframe/contracts';
import { abort, type Bucket, PROBE_KEY, type Session } from './bucket.ts';
import { isPrecondition } from './faults.ts';
import { isAws } from './options.ts';

/** A match that no object has. */
const NO_SUCH_TAG = '"00000000000000000000000000000000"';

/**
 * Whether this bucket keeps conditions on writes. Some servers answer 200 to a create-only write and overwrite, so the
 * absence of an error proves nothing: before the first such write of a process one small write that must be refused is
 * sent. Until then the best is assumed, since nothing depends on it.
 */
export class Conditions {
  readonly #bucket: Bucket;
  readonly #mode: 'probe' | 'trust' | 'none';
  #createOnly: Promise<boolean> | undefined;
  #replace: Promise<boolean> | undefined;
  readonly #known: { createOnly?: boolean; replace?: boolean } = {};

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
    this.#mode = bucket.options.conditionalWrites ?? (isAws(bucket.options) ? 'trust' : 'probe');
  }

  /** For `capabilities`, which cannot wait. */
  get assumed(): { readonly createOnly: boolean; readonly replace: boolean } {
    const otherwise = this.#mode !== 'none';
    return { createOnly: this.#known.createOnly ?? otherwise, replace: this.#known.replace ?? otherwise };
  }

  /** Whether `If-None-Match: *` keeps an object from being replaced. */
  createOnly(): Promise<boolean> {
    if (this.#mode !== 'probe') return Promise.resolve(this.#mode === 'trust');
    this.#createOnly ??= this.#probe({ IfNoneMatch: '*' }).then(
      (kept) => this.#learn({ createOnly: kept }, kept),
      (error: unknown) => {
        this.#createOnly = undefined;
        throw error;
      },
    );
    return this.#createOnly;
  }

  /** Whether `If-Match` replaces that version only. Some servers know the one condition and not the other. */
  replace(): Promise<boolean> {
    if (this.#mode !== 'probe') return Promise.resolve(this.#mode === 'trust');
    this.#replace ??= this.createOnly()
      .then(() => this.#probe({ IfMatch: NO_SUCH_TAG }))
      .then(
        (kept) => this.#learn({ replace: kept }, true),
        (error: unknown) => {
          this.#replace = undefined;
          throw error;
        },
      );
    return this.#replace;
  }

  #learn(known: { createOnly?: boolean; replace?: boolean }, silent: boolean): boolean {
    Object.assign(this.#known, known);
    const kept = known.createOnly ?? known.replace ?? false;
    if (!silent)
      this.#bucket.host.log.warn('the store ignores conditions on writes: only the lease keeps two writers apart', {
        bucket: this.#bucket.name,
      });
    return kept;
  }

  /** One request where the object of the last probe is still there, two in a new bucket. */
  async #probe(condition: { IfNoneMatch?: string; IfMatch?: string }): Promise<boolean> {
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      const refused = await this.#refuses(condition);
      if (refused) return true;
    }
    return false;
  }

  #refuses(condition: { IfNoneMatch?: string; IfMatch?: string }): Promise<boolean> {
    const about = { action: 's3:PutObject', key: PROBE_KEY };
    return this.#bucket
      .send(about, undefined, (session) => putEmpty(this.#bucket, session, condition))
      .then(
        () => false,
        (error: unknown) => {
          if (isPrecondition(error)) return true;
          // A server that says it has no conditions is as good as one that has none.
          if (hasCode(error, 'UNSUPPORTED')) return false;
          throw error;
        },
      );
  }
}

const putEmpty = (
  { name, options }: Bucket,
  { client, sdk }: Session,
  condition: { IfNoneMatch?: string; IfMatch?: string },
): Promise<unknown> =>
  client.send(
    new sdk.PutObjectCommand({
      Bucket: name,
      Key: options.prefix + PROBE_KEY,
      Body: Readable.from([]),
      ContentLength: 0,
      ...condition,
      ...(options.requesterPays && { RequestPayer: 'requester' }),
    }),
    abort(undefined),
  );
